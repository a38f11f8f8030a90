import { useEffect, useId, useRef, useState, type FormEvent, type ReactNode } from "react";

interface Props {
  title: string;
  button: string;
  danger?: boolean;
  user: string;
  children: ReactNode;
  /** Does it, and says in words what comes next. */
  act: (reason: string, form: FormData) => Promise<ReactNode>;
  close: () => void;
}

const LEAST = 3;

/** Asks before something is done, and for the reason; says what became of it. */
export function Confirm({ title, button, danger = false, user, children, act, close }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  const [done, setDone] = useState<ReactNode>();
  const id = useId();
  useEffect(() => {
    const element = dialog.current;
    element?.showModal();
    return () => element?.close();
  }, []);
  // The dialog closes itself, and then gives the focus back to the button that opened it.
  const leave = () => dialog.current?.close();
  function closed() {
    // That button may have left the page meanwhile: then the keyboard begins anew at the heading, not nowhere.
    const focused = document.activeElement;
    if (focused === document.body || dialog.current?.contains(focused)) document.querySelector<HTMLElement>("h1")?.focus();
    close();
  }
  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const reason = String(form.get("reason") ?? "").trim();
    if (reason.length < LEAST) {
      setProblem(`Say why, in ${LEAST} letters at least: others will read it.`);
      return;
    }
    setBusy(true);
    setProblem("");
    try {
      setDone(await act(reason, form));
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    } finally {
      setBusy(false);
    }
  }
  return (
    <dialog ref={dialog} aria-labelledby={`${id}-title`} onClose={closed}>
      <h2 id={`${id}-title`}>{title}</h2>
      {done ? (
        <>
          <p role="status">{done}</p>
          <div className="buttons">
            <button type="button" className="primary" onClick={leave} autoFocus>
              Close
            </button>
          </div>
        </>
      ) : (
        <form onSubmit={(event) => void submit(event)} noValidate>
          {children}
          <label className="field">
            <span>Reason (required)</span>
            <textarea name="reason" rows={3} maxLength={1000} required aria-describedby={`${id}-who`} aria-invalid={problem !== ""} />
          </label>
          <p id={`${id}-who`} className="soft small">
            Recorded as done by <b>{user}</b>.
          </p>
          {problem && (
            <p role="alert" className="badtext">
              {problem}
            </p>
          )}
          <div className="buttons">
            <button type="submit" className={danger ? "danger" : "primary"} disabled={busy}>
              {busy ? "…" : button}
            </button>
            <button type="button" onClick={leave} disabled={busy}>
              Cancel
            </button>
          </div>
        </form>
      )}
    </dialog>
  );
}
