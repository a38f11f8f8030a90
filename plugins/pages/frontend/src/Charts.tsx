import { useId, useState } from "react";
import {
  CartesianGrid,
  ComposedChart,
  ErrorBar,
  Line,
  LineChart,
  ReferenceLine,
  ResponsiveContainer,
  Scatter,
  Tooltip,
  XAxis,
  YAxis,
} from "recharts";
import { cardAddress, reportAddress } from "./airflow";
import { Empty, Mark, Out } from "./parts";
import type { DecayCheck, DriftCheck, Version } from "./types";
import { asDay, asNumber, asPercent, asTime, metricName, toneOf } from "./words";

const AXIS = { fill: "var(--soft)", fontSize: 12 };
const BOX = {
  contentStyle: { background: "var(--card)", border: "1px solid var(--line)", color: "var(--ink)", borderRadius: 6 },
  itemStyle: { color: "var(--ink)" },
  labelStyle: { color: "var(--soft)" },
};

interface Props {
  model: string;
  versions: Version[];
  champion: number | undefined;
  metrics: string[];
  tracking: string;
}

export function QualityByVersion({ model, versions, champion, metrics, tracking }: Props) {
  const known = [...new Set([...metrics, ...versions.flatMap((one) => Object.keys(one.metrics ?? {}))])].filter((name) =>
    versions.some((one) => one.metrics?.[name]?.value != null),
  );
  const [chosen, choose] = useState<string>();
  const id = useId();
  const metric = chosen ?? known[0];
  if (!versions.length) return <Empty>No version is registered yet. Train the model.</Empty>;
  const points = metric
    ? versions.flatMap((one) => {
        const found = one.metrics?.[metric];
        if (found?.value == null) return [];
        const around: [number, number] = [found.value - (found.low ?? found.value), (found.high ?? found.value) - found.value];
        return [{ name: `v${one.version}`, value: found.value, low: found.low, high: found.high, around, champion: one.version === champion }];
      })
    : [];
  const bound = metric
    ? versions
        .at(-1)
        ?.gates.find((gate) => gate.metric === metric && / at (least|most) /.test(gate.gate))?.bound
    : undefined;
  return (
    <>
      {metric && (
        <>
          <div className="filters">
            <label htmlFor={id}>
              <span>Metric</span>
              <select id={id} value={metric} onChange={(event) => choose(event.target.value)}>
                {known.map((name) => (
                  <option key={name} value={name}>
                    {metricName(name)}
                  </option>
                ))}
              </select>
            </label>
          </div>
          <figure aria-hidden="true">
            <ResponsiveContainer width="100%" height={240}>
              <ComposedChart data={points} margin={{ top: 12, right: 16, bottom: 4, left: 4 }} accessibilityLayer={false}>
                <CartesianGrid stroke="var(--line)" vertical={false} />
                <XAxis dataKey="name" tick={AXIS} stroke="var(--line)" padding={{ left: 32, right: 32 }} />
                <YAxis domain={around(points, bound)} tick={AXIS} stroke="var(--line)" width={56} tickFormatter={asNumber} />
                <Tooltip
                  {...BOX}
                  formatter={(value) => [asNumber(Number(value)), metricName(metric)]}
                  cursor={{ stroke: "var(--line)" }}
                />
                {bound != null && (
                  <ReferenceLine y={bound} stroke="var(--warn)" strokeDasharray="5 4" label={{ value: `gate ${asNumber(bound)}`, fill: "var(--warn)", fontSize: 12, position: "insideBottomLeft" }} />
                )}
                <Scatter dataKey="value" isAnimationActive={false} fill="var(--accent)" shape={Point}>
                  <ErrorBar dataKey="around" isAnimationActive={false} width={6} strokeWidth={1.5} stroke="var(--accent)" direction="y" />
                </Scatter>
              </ComposedChart>
            </ResponsiveContainer>
          </figure>
        </>
      )}
      <details open={points.length < 2}>
        <summary>All versions as a table</summary>
        <div className="scroll" tabIndex={0} role="region" aria-label="All versions">
          <table>
            <thead>
              <tr>
                <th scope="col">Version</th>
                <th scope="col">As of</th>
                {metric && <th scope="col">{metricName(metric)}</th>}
                <th scope="col">Decision</th>
                <th scope="col">Pages</th>
              </tr>
            </thead>
            <tbody>
              {versions.toReversed().map((one) => (
                <tr key={one.version}>
                  <th scope="row">
                    v{one.version} {one.version === champion && <Mark tone="good">champion</Mark>}
                    {one.status !== "registered" && <Mark tone={toneOf(one.status)}>{one.status}</Mark>}
                  </th>
                  <td>{asTime(one.as_of)}</td>
                  {metric && (
                    <td>
                      {asNumber(one.metrics?.[metric]?.value)}{" "}
                      <span className="soft">
                        {asNumber(one.metrics?.[metric]?.low)} to {asNumber(one.metrics?.[metric]?.high)}
                      </span>
                    </td>
                  )}
                  <td>
                    {one.verdict ?? "–"} <span className="soft small block reasons">{one.reason}</span>
                  </td>
                  <td>
                    <a href={cardAddress(model, one.version)}>Model card</a>{" "}
                    {reportAddress(one.page) && <a href={reportAddress(one.page)!}>Evaluation</a>}{" "}
                    <Out href={`${tracking.replace(/\/$/, "")}/#/runs/${one.run_id}`} away>
                      MLflow run
                    </Out>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </>
  );
}

interface Place {
  cx?: number;
  cy?: number;
  payload?: { champion: boolean };
}

function Point({ cx, cy, payload }: Place) {
  return <circle cx={cx} cy={cy} r={payload?.champion ? 6 : 4} fill={payload?.champion ? "var(--good)" : "var(--accent)"} />;
}

/** An axis that shows the intervals and the bound, not zero. */
function around(points: { value: number; low: number | null; high: number | null }[], bound: number | null | undefined): [number, number] {
  const all = points.flatMap((one) => [one.low ?? one.value, one.high ?? one.value]).concat(bound ?? []);
  const low = Math.min(...all);
  const high = Math.max(...all);
  const margin = (high - low || Math.abs(high) || 1) * 0.1;
  return [low - margin, high + margin];
}

export function DriftHistory({ drift, decay }: { drift: DriftCheck[]; decay: DecayCheck[] }) {
  const last = drift.at(-1);
  const lastDecay = decay.at(-1);
  if (!last && !lastDecay) return <Empty>Nothing was checked yet. The DAG monitor compares the newest data with the champion’s training data.</Empty>;
  const points = drift.filter((one) => one.share !== null).map((one) => ({ at: asDay(one.as_of), share: one.share, verdict: one.verdict }));
  const drifted = last?.features.filter((feature) => feature.drifted) ?? [];
  return (
    <>
      {last && (
        <p>
          <Mark tone={toneOf(last.verdict)}>{last.verdict}</Mark> {asTime(last.as_of)}: {last.reason}{" "}
          {reportAddress(last.page) && <a href={reportAddress(last.page)!}>Drift page</a>}
        </p>
      )}
      {drifted.length > 0 && <p>Drifted: {drifted.map((feature) => feature.name).join(", ")}.</p>}
      {lastDecay && (
        <p>
          <Mark tone={toneOf(lastDecay.verdict)}>{lastDecay.verdict}</Mark> by labels of {lastDecay.source}: {lastDecay.reason}{" "}
          {lastDecay.changes.map((change) => (
            <span key={change.name} className="soft">
              {metricName(change.name)} {asNumber(change.before?.value)} → {asNumber(change.now?.value)} ({asNumber(change.now?.low)} to{" "}
              {asNumber(change.now?.high)}){" "}
            </span>
          ))}
        </p>
      )}
      {points.length > 1 && (
        <figure aria-hidden="true">
          <ResponsiveContainer width="100%" height={180}>
            <LineChart data={points} margin={{ top: 8, right: 16, bottom: 4, left: 4 }} accessibilityLayer={false}>
              <CartesianGrid stroke="var(--line)" vertical={false} />
              <XAxis dataKey="at" tick={AXIS} stroke="var(--line)" minTickGap={40} />
              <YAxis domain={[0, (most: number) => Math.min(1, Math.max(0.1, most * 1.15))]} tick={AXIS} stroke="var(--line)" width={56} tickFormatter={asPercent} />
              <Tooltip {...BOX} formatter={(value, _name, item) => [`${asPercent(Number(value))}, ${(item.payload as { verdict: string }).verdict}`, "drifted"]} />
              <Line dataKey="share" stroke="var(--accent)" strokeWidth={2} isAnimationActive={false} dot={Checked} />
            </LineChart>
          </ResponsiveContainer>
        </figure>
      )}
      {drift.length > 1 && (
        <details>
          <summary>All checks as a table</summary>
          <div className="scroll" tabIndex={0} role="region" aria-label="Checks for drift">
            <table>
              <thead>
                <tr>
                  <th scope="col">As of</th>
                  <th scope="col">Verdict</th>
                  <th scope="col">Drifted</th>
                  <th scope="col">Champion</th>
                  <th scope="col">Page</th>
                </tr>
              </thead>
              <tbody>
                {drift.toReversed().map((one) => (
                  <tr key={one.as_of}>
                    <td>{asTime(one.as_of)}</td>
                    <td>
                      <Mark tone={toneOf(one.verdict)}>{one.verdict}</Mark>
                    </td>
                    <td>{asPercent(one.share)}</td>
                    <td>{one.version ? `v${one.version}` : "–"}</td>
                    <td>{reportAddress(one.page) && <a href={reportAddress(one.page)!}>Drift page</a>}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </details>
      )}
    </>
  );
}

function Checked({ cx, cy, payload, index }: { cx?: number; cy?: number; payload?: { verdict: string }; index?: number }) {
  const drift = payload?.verdict === "drift";
  return <circle key={index} cx={cx} cy={cy} r={drift ? 5 : 3} fill={drift ? "var(--bad)" : "var(--accent)"} />;
}
