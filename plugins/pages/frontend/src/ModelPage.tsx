import { useQuery } from "@tanstack/react-query";
import { LIST_ADDRESS, dagAddress, read, reportAddress, runAddress } from "./airflow";
import { Actions } from "./Actions";
import { attentionOf } from "./attention";
import { Clients } from "./Clients";
import { DriftHistory, QualityByVersion } from "./Charts";
import { Lineage } from "./Lineage";
import { Empty, Loading, Mark, Out, Problem, Section } from "./parts";
import { Questions } from "./Questions";
import { Timeline } from "./Timeline";
import type { GateCheck, ModelPageData, Role, Run, StepCost } from "./types";
import { ago, asHours, asLength, asNumber, asPercent, asTime, fromNow, toneOf } from "./words";

const SOON = 5_000;
const LATER = 30_000;

/** Whether something is under way that a reader may be waiting for. */
const changes = ({ line }: ModelPageData) =>
  line.overview.challenger !== null || line.overview.retiring_until !== null || line.under_way.some((family) => family !== "data" && family !== "score");

export default function ModelPage({ model }: { model: string }) {
  const query = useQuery({
    queryKey: ["model", model],
    queryFn: () => read<ModelPageData>(`/noria/api/models/${encodeURIComponent(model)}`),
    refetchInterval: ({ state }) => (state.data && changes(state.data) ? SOON : LATER),
  });
  return (
    <>
      <nav aria-label="Where you are" className="crumbs">
        <a href={LIST_ADDRESS}>Models</a> <span aria-hidden="true">/</span> <span aria-current="page">{model}</span>
      </nav>
      {query.error && <Problem error={query.error} again={() => void query.refetch()} />}
      {query.isPending && <Loading what={model} />}
      {query.data && <Page model={model} data={query.data} again={() => void query.refetch()} />}
    </>
  );
}

function Page({ model, data, again }: { model: string; data: ModelPageData; again: () => void }) {
  const { about, line, story } = data;
  const now = Date.parse(data.read_at);
  const attention = attentionOf(line);
  return (
    <>
      <header className="page">
        <h1 tabIndex={-1}>{model}</h1>
        {about && <p>{about.description}</p>}
        <p className="marks">
          {line.overview.retiring_until && <Mark tone="warn">retiring until {asTime(line.overview.retiring_until)} at the latest</Mark>}
          {line.overview.retired_at && <Mark tone="calm">retired {ago(line.overview.retired_at, now)}</Mark>}
          {line.overview.restorable_until && <Mark tone="calm">{backWords(line.overview.restorable_until, now)}</Mark>}
          {attention.map((reason) => (
            <Mark key={reason} tone={reason === "paused" || reason === "no champion" ? "warn" : "bad"}>
              {reason}
            </Mark>
          ))}
          {!attention.length && !line.overview.retired_at && !line.overview.retiring_until && <Mark tone="good">all is well</Mark>}
          <span className="soft">
            Owner {about?.owner ?? line.owner ?? "unknown"}
            {about && ` · ${about.task.replaceAll("_", " ")} · ${about.stages.join(" → ").replaceAll("_", " ")}`}
            {about?.approval === "required" && " · a person approves"}
          </span>
        </p>
        {data.problem && (
          <details className="problem">
            <summary>The definition cannot be read</summary>
            <pre>{data.problem}</pre>
          </details>
        )}
        <Actions model={model} data={data} done={again} />
      </header>
      <Questions model={model} data={data} done={again} />
      <div className="columns">
        <Section id="serves" title="Serves now">
          <Serves roles={story.roles} now={now} retired={line.overview.retired_at !== null} />
        </Section>
        <Section id="state" title="At a glance">
          <Glance data={data} now={now} />
        </Section>
      </div>
      <Section id="quality" title="Quality by version" note="On each version’s holdout rows, with its interval">
        <QualityByVersion model={model} versions={story.versions} champion={line.overview.champion?.version} metrics={about?.metrics ?? []} tracking={data.tracking} />
      </Section>
      <Section id="drift" title="Drift and decay" note="Share of features that drifted, at each check">
        <DriftHistory drift={story.drift} decay={story.decay} />
      </Section>
      <Section id="gates" title="Gates" note="The newest verdicts of each stage, oldest first">
        <Gates gates={story.gates} now={now} />
      </Section>
      <Section id="lineage" title="Lineage" note="What a version was made from, and where it went">
        <Lineage model={model} data={data} />
      </Section>
      {about && (
        <Section id="clients" title="Ask for predictions" note="Whole programs, made from the model’s signature">
          <Clients model={model} />
        </Section>
      )}
      <Section id="timeline" title="Timeline" note="The ledger: every change, who made it and why">
        <Timeline model={model} first={story.ledger} now={now} />
      </Section>
      <Section id="runs" title="Newest runs">
        <Runs runs={data.runs} now={now} />
      </Section>
    </>
  );
}

const backWords = (until: string, now: number) =>
  Date.parse(until) > now ? `can be brought back until ${asTime(until)}` : "can be brought back no more";

const ROLE_WORDS: Record<string, string> = {
  champion: "answers what no challenger does",
  previous: "to which a rollback goes",
  candidate: "answers nobody yet",
  shadow: "sees every request, answers none",
  canary: "answers its share",
  ab: "answers its share of an A/B test",
};

function Serves({ roles, now, retired }: { roles: Role[]; now: number; retired: boolean }) {
  if (!roles.length) {
    return <Empty>{retired ? "The model is retired: nothing answers for it." : "Nothing is deployed. Train the model, or deploy a version."}</Empty>;
  }
  const challenged = roles.filter((role) => role.role !== "champion").reduce((sum, role) => sum + role.share, 0);
  const shown = roles.map((role) => ({ ...role, share: role.role === "champion" ? 1 - challenged : role.share }));
  return (
    <>
      <div className="shares" aria-hidden="true">
        {shown
          .filter((role) => role.share > 0)
          .map((role) => (
            <svg key={role.role} className={`share ${role.role}`} width={`${role.share * 100}%`} height="12">
              <rect width="100%" height="100%" />
            </svg>
          ))}
      </div>
      <ul className="plain">
        {shown.map((role) => (
          <li key={role.role}>
            <b>v{role.version}</b> {role.role} {role.share > 0 && <b>{asPercent(role.share)}</b>}
            <span className="soft">
              {" "}
              – {ROLE_WORDS[role.role] ?? ""}, since {asTime(role.since)} ({ago(role.since, now)})
              {role.until && `, until ${asTime(role.until)} at the latest`}; knows data up to {asTime(role.as_of)}
            </span>
          </li>
        ))}
      </ul>
    </>
  );
}

function Glance({ data, now }: { data: ModelPageData; now: number }) {
  const { overview, next_run: next } = data.line;
  const { drift } = overview;
  return (
    <dl className="facts">
      <div>
        <dt>Latest data</dt>
        <dd>{asTime(overview.data_as_of)}</dd>
      </div>
      <div>
        <dt>Gates of the champion</dt>
        <dd>{overview.gates ? `${overview.gates[0]} of ${overview.gates[1]} passed` : "–"}</dd>
      </div>
      <div>
        <dt>Drift</dt>
        <dd>{drift ? `${drift.verdict}, ${ago(drift.at, now)}` : "not checked yet"}</dd>
      </div>
      <div>
        <dt>Next run</dt>
        <dd>{next ? `${next.family} ${fromNow(next.next_run, now)}` : data.line.paused ? "paused" : "by hand"}</dd>
      </div>
      <div>
        <dt>CPU hours</dt>
        <dd>
          <Costs costs={data.story.costs} />
        </dd>
      </div>
    </dl>
  );
}

/** What the steps' processes took; less than a minute of a step that was killed is not in it. */
function Costs({ costs }: { costs: StepCost[] }) {
  if (!costs.length) return <>not counted yet</>;
  const sum = (of: (cost: StepCost) => number) => asHours(costs.reduce((total, cost) => total + of(cost), 0));
  return (
    <>
      {sum((cost) => cost.lately)} in 30 days, {sum((cost) => cost.in_all)} in all
      <details>
        <summary>By step</summary>
        <table>
          <thead>
            <tr>
              <th scope="col">Step</th>
              <th scope="col">30 days</th>
              <th scope="col">In all</th>
              <th scope="col">Tries</th>
            </tr>
          </thead>
          <tbody>
            {costs.map((cost) => (
              <tr key={cost.step}>
                <th scope="row">{cost.step}</th>
                <td>{asHours(cost.lately)}</td>
                <td>{asHours(cost.in_all)}</td>
                <td>{cost.tries}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </details>
    </>
  );
}

function Gates({ gates, now }: { gates: GateCheck[]; now: number }) {
  if (!gates.length) return <Empty>No gate has judged anything of this model yet.</Empty>;
  const stages = ["raw", "features", "training", "predictions"];
  return (
    <ul className="plain stages">
      {stages.map((stage) => {
        const own = gates.filter((gate) => gate.stage === stage);
        const last = own.at(-1);
        return (
          <li key={stage}>
            <h3>{stage}</h3>
            {last ? (
              <>
                <ol className="strip" aria-label={`Verdicts of the gate ${stage}`}>
                  {own.slice(-45).map((gate) => {
                    const words = `${gate.subject}: ${gate.verdict}, ${asTime(gate.at)}`;
                    const page = reportAddress(gate.page);
                    return (
                      <li key={gate.id}>
                        {page ? (
                          <a href={page} className={`cell ${toneOf(gate.verdict)}`} title={words} aria-label={words} />
                        ) : (
                          <span className={`cell ${toneOf(gate.verdict)}`} title={words} role="img" aria-label={words} />
                        )}
                      </li>
                    );
                  })}
                </ol>
                <p>
                  <Mark tone={toneOf(last.verdict)}>{last.verdict}</Mark> {last.subject}, {asNumber(last.rows)} rows,{" "}
                  {ago(last.at, now)} {last.warnings > 0 && `· ${last.warnings} ${last.warnings === 1 ? "warning" : "warnings"} `}
                  {reportAddress(last.page) && <a href={reportAddress(last.page)!}>Gate page</a>}
                </p>
                {last.problem && <p className="soft">{last.problem}</p>}
                {last.failed.length > 0 && (
                  <details>
                    <summary>Not met: {last.failed.length}</summary>
                    <ul>
                      {last.failed.map((one, place) => (
                        <li key={place}>
                          {one.expected} <span className="soft">({one.severity}) found: {one.found}</span>
                        </li>
                      ))}
                    </ul>
                  </details>
                )}
              </>
            ) : (
              <p className="soft">not judged yet</p>
            )}
          </li>
        );
      })}
    </ul>
  );
}

function Runs({ runs, now }: { runs: Run[]; now: number }) {
  if (!runs.length) return <Empty>Nothing has run yet.</Empty>;
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label="Newest runs">
      <table>
        <thead>
          <tr>
            <th scope="col">DAG</th>
            <th scope="col">State</th>
            <th scope="col">Started</th>
            <th scope="col">Took</th>
            <th scope="col">By</th>
            <th scope="col">Run</th>
          </tr>
        </thead>
        <tbody>
          {runs.map((run) => (
            <tr key={`${run.dag_id}/${run.run_id}`}>
              <td>
                <Out href={dagAddress(run.dag_id)}>{run.dag_id}</Out>
              </td>
              <td>
                <Mark tone={toneOf(run.state)}>{run.state}</Mark>
              </td>
              <td>{asTime(run.start_date ?? run.run_after)}</td>
              <td>{run.start_date ? asLength((run.end_date ? Date.parse(run.end_date) : now) - Date.parse(run.start_date)) : "–"}</td>
              <td>{run.triggering_user_name ?? run.run_type}</td>
              <td>
                <Out href={runAddress(run.dag_id, run.run_id)}>open</Out>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
