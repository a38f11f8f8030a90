// The way to the server: our own endpoints for reading, Airflow's own API for acting.

const HERE = "/noria/models/";
const place = window.location.pathname.indexOf(HERE);

/** Path below which Airflow is served, without a slash at its end. */
export const BASE = place < 0 ? "" : window.location.pathname.slice(0, place);

/** The model that the page is about; null for the list. */
export const MODEL = place < 0 ? null : decodeURIComponent(window.location.pathname.slice(place + HERE.length)) || null;

export class Failed extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

async function answerOf<T>(answer: Response): Promise<T> {
  if (answer.ok) return (await answer.json()) as T;
  const detail = await answer
    .json()
    .then((said: { detail?: unknown }) => (typeof said.detail === "string" ? said.detail : JSON.stringify(said.detail)))
    .catch(() => "");
  const words =
    answer.status === 401
      ? "You are not logged in any more. Log in to Airflow again, then reload."
      : answer.status === 403
        ? "You may not do or see this. Ask whoever runs Airflow for the right to it."
        : detail || `The server answered ${answer.status}.`;
  throw new Failed(words, answer.status);
}

async function send<T>(path: string, init: RequestInit): Promise<T> {
  let answer: Response;
  try {
    answer = await fetch(BASE + path, { credentials: "same-origin", ...init });
  } catch {
    throw new Failed("Airflow does not answer. Is the api-server running, and are you connected?", 0);
  }
  return answerOf<T>(answer);
}

export function read<T>(path: string): Promise<T> {
  return send<T>(path, { headers: { Accept: "application/json" } });
}

function write<T>(method: string, path: string, body: unknown): Promise<T> {
  return send<T>(path, { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

/** Start a run of a DAG; Airflow notes who asked for it. */
export function startRun(dagId: string, conf: Record<string, unknown>, reason: string) {
  const path = `/api/v2/dags/${encodeURIComponent(dagId)}/dagRuns`;
  return write<{ dag_run_id: string }>("POST", path, { logical_date: null, conf, note: reason });
}

export interface Asked {
  dag_id: string;
  run_id: string;
  task_id: string;
  map_index: number;
}

/** Answer a question that a deployment waits for. */
export function answerQuestion(question: Asked, option: string, note: string) {
  const parts = [question.dag_id, "dagRuns", question.run_id, "taskInstances", question.task_id, question.map_index];
  const path = `/api/v2/dags/${parts.map((part) => encodeURIComponent(String(part))).join("/")}/hitlDetails`;
  return write<unknown>("PATCH", path, { chosen_options: [option], params_input: { note } });
}

export function runAddress(dagId: string, runId: string): string {
  return `${BASE}/dags/${encodeURIComponent(dagId)}/runs/${encodeURIComponent(runId)}`;
}

export function dagAddress(dagId: string): string {
  return `${BASE}/dags/${encodeURIComponent(dagId)}`;
}

export function modelAddress(model: string): string {
  return `${BASE}${HERE}${encodeURIComponent(model)}`;
}

export function cardAddress(model: string, version: number): string {
  return `${modelAddress(model)}/versions/${version}/card`;
}

export const LIST_ADDRESS = `${BASE}${HERE}`;

/** Address of a page that a step has written, from its path in the store; null if it is none. */
export function reportAddress(page: string | null): string | null {
  return page?.startsWith("reports/") ? `${BASE}/noria/${page.split("/").map(encodeURIComponent).join("/")}` : null;
}

/**
 * Follow a link from the page's frame. Airflow shows the page in a frame that may not navigate the window around it, so the
 * link is followed by that window itself; a page that is not in a frame follows it as any other.
 */
export function follow(event: React.MouseEvent<HTMLAnchorElement>) {
  const around = window.parent;
  if (around === window || event.metaKey || event.ctrlKey || event.shiftKey) return;
  try {
    const link = around.document.createElement("a");
    link.href = event.currentTarget.href;
    if (event.currentTarget.target) {
      link.target = event.currentTarget.target;
      link.rel = "noopener";
    }
    link.click();
    event.preventDefault();
  } catch {
    // The window around is another site's: the link stays an ordinary one.
  }
}
