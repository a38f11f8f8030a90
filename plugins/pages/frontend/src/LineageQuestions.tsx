import { useState } from "react";
import { useQuery } from "@tanstack/react-query";
import { read } from "./airflow";
import type { DataVersion } from "./LineageGraph";
import { Loading, Problem } from "./parts";
import type { Answered, Touched } from "./types";
import { asNumber, asTime } from "./words";

const WHERE: Record<string, string> = { inference: "rows of requests", scores: "rows in batches" };
const addressOf = (model: string, what: string) => `/noria/api/models/${encodeURIComponent(model)}/lineage/${what}`;

/** Which versions and predictions a version of a table has touched. */
export function TouchedBy({ model, data, choose }: { model: string; data: DataVersion; choose: (version: number) => void }) {
  const query = useQuery({
    queryKey: ["touched", model, data.table, data.version],
    queryFn: () => read<Touched>(addressOf(model, `tables/${data.table}/${data.version}`)),
    refetchInterval: false,
  });
  return (
    <div className="answer" aria-live="polite">
      <h3>
        What version {data.version} of the {data.table} table touched
      </h3>
      {query.isPending && <Loading what="the tables’ logs" />}
      {query.error && <Problem error={query.error} again={() => void query.refetch()} />}
      {query.data && (
        <>
          <p>
            It wrote {query.data.wrote} {query.data.wrote === 1 ? "partition" : "partitions"}.{" "}
            {query.data.made.length === 0 && "No registered version was made from them."}
          </p>
          <ul>
            {query.data.made.map((one) => (
              <li key={one.version}>
                <button type="button" onClick={() => choose(one.version)}>
                  v{one.version}
                </button>{" "}
                was made from {one.partitions === 1 ? one.first : `${one.partitions} of them, ${one.first} to ${one.last}`}
                {Object.entries(one.answers).map(([table, rows]) => `, answered ${asNumber(rows)} ${WHERE[table] ?? table}`)}
                {!Object.keys(one.answers).length && ", answered nothing that is still in the log or the scores"}
              </li>
            ))}
          </ul>
        </>
      )}
    </div>
  );
}

/** Which version, and so which data, made a prediction. */
export function MadeBy({ model, choose }: { model: string; choose: (version: number) => void }) {
  const [asked, ask] = useState<string>();
  const query = useQuery({
    queryKey: ["answered", model, asked],
    queryFn: () => read<Answered[]>(addressOf(model, `requests/${encodeURIComponent(asked!)}`)),
    refetchInterval: false,
    retry: false,
    enabled: asked !== undefined,
  });
  return (
    <>
      <form
        className="filters"
        onSubmit={(event) => {
          event.preventDefault();
          const id = String(new FormData(event.currentTarget).get("request") ?? "").trim();
          if (id) ask(id);
        }}
      >
        <label>
          <span>Which data made this prediction?</span>
          <input name="request" placeholder="Id of the request" maxLength={200} required />
        </label>
        <button type="submit">Ask</button>
      </form>
      <div aria-live="polite">
        {asked && query.isPending && <Loading what="the request log" />}
        {query.error && <Problem error={query.error} />}
        <ul>
          {query.data?.map((one) => (
            <li key={one.row}>
              Row {one.row} was answered on {asTime(one.at)} by{" "}
              <button type="button" onClick={() => choose(one.version)}>
                v{one.version}
              </button>{" "}
              as {one.role}
            </li>
          ))}
        </ul>
      </div>
    </>
  );
}
