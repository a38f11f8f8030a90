import { useState } from "react";
import { useInfiniteQuery } from "@tanstack/react-query";
import { read, runAddress } from "./airflow";
import { Empty, Mark, Out, Problem } from "./parts";
import type { Entry } from "./types";
import { ago, asPercent, asTime, type Tone } from "./words";

const FEW = 12;
const MOST = 100;
const TONES: Record<string, Tone> = { promote: "good", rollback: "bad", bar: "bad", withdraw: "warn", drain: "warn", retire: "warn", restore: "good" };

function what(entry: Entry): string {
  const to = entry.to_version === null ? "" : ` v${entry.to_version}`;
  const from = entry.from_version === null || entry.from_version === entry.to_version ? "" : ` from v${entry.from_version}`;
  switch (entry.action) {
    case "promote":
      return `v${entry.to_version} became champion${from && `, after v${entry.from_version}`}`;
    case "rollback":
      return `Rolled back${from}${to && ` to${to}`}`;
    case "stage":
      return `v${entry.to_version} entered ${(entry.stage ?? "a stage").replaceAll("_", " ")}`;
    case "retrain":
      return "A retraining was started";
    case "drain":
      return "The model begins to leave production";
    case "restore":
      return "The model was brought back";
    case "archive":
      return "The model was archived";
    case "free":
      return "Freed what is not archived";
    case "retire":
      return "The model was retired";
    case "bar":
      return `v${entry.from_version} was barred`;
    case "lift-bar":
      return `The bar on v${entry.to_version} was lifted`;
    default:
      return `${entry.action}${from}${to}`;
  }
}

/** Where in Airflow the change was made; the names of runs are `<dag>/<run>`. */
function runOf(entry: Entry): string | null {
  const named = entry.run ?? entry.deployment;
  const slash = named?.indexOf("/") ?? -1;
  return named && slash > 0 ? runAddress(named.slice(0, slash), named.slice(slash + 1)) : null;
}

export function Timeline({ model, first, now }: { model: string; first: Entry[]; now: number }) {
  const [all, setAll] = useState(false);
  const older = useInfiniteQuery({
    queryKey: ["ledger", model],
    queryFn: ({ pageParam }) => read<Entry[]>(`/noria/api/models/${encodeURIComponent(model)}/ledger?before=${pageParam}`),
    initialPageParam: first.at(-1)?.revision ?? 0,
    getNextPageParam: (page) => (page.length < MOST ? undefined : page.at(-1)?.revision),
    enabled: false,
  });
  if (!first.length) return <Empty>Nothing was deployed yet, so the ledger is empty.</Empty>;
  const loaded = [...first, ...(older.data?.pages.flat() ?? [])];
  const shown = all ? loaded : loaded.slice(0, FEW);
  const more = all && (older.data ? older.hasNextPage : first.length >= MOST);
  return (
    <>
      <ol className="timeline">
        {shown.map((entry) => {
          const run = runOf(entry);
          return (
            <li key={entry.revision} className={TONES[entry.action] ?? "calm"}>
              <p>
                <b>{what(entry)}</b>{" "}
                <time dateTime={entry.at} className="soft">
                  {asTime(entry.at)} ({ago(entry.at, now)})
                </time>
              </p>
              <p className="reason">{entry.reason}</p>
              <p className="soft small">
                by <b>{entry.actor}</b>
                {entry.approval?.approved_by && `, approved by ${entry.approval.approved_by}${entry.approval.note ? `: ${entry.approval.note}` : ""}`}
                {Object.keys(entry.state).length > 0 &&
                  ` · afterwards ${Object.entries(entry.state)
                    .map(([role, version]) => `${role} v${version}${entry.shares[role] ? ` ${asPercent(entry.shares[role])}` : ""}`)
                    .join(", ")}`}
                {run && (
                  <>
                    {" · "}
                    <Out href={run}>run</Out>
                  </>
                )}
              </p>
            </li>
          );
        })}
      </ol>
      {older.error && <Problem error={older.error} />}
      {!all && loaded.length > FEW && (
        <button type="button" onClick={() => setAll(true)}>
          Show {loaded.length - FEW} more
        </button>
      )}
      {more && (
        <button type="button" disabled={older.isFetching} onClick={() => void older.fetchNextPage()}>
          {older.isFetching ? "Reading…" : "Older entries"}
        </button>
      )}
      {all && !more && loaded.length > MOST && <Mark tone="calm">this is the beginning</Mark>}
    </>
  );
}
