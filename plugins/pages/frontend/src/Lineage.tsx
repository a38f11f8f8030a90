import { useId, useState, type ReactNode } from "react";
import { useQuery } from "@tanstack/react-query";
import { cardAddress, read, reportAddress, runAddress } from "./airflow";
import { LineageGraph, type DataVersion } from "./LineageGraph";
import { MadeBy, TouchedBy } from "./LineageQuestions";
import { Empty, Loading, Out, Problem } from "./parts";
import type { ModelPageData, Origin } from "./types";
import { asPercent, asTime } from "./words";

const FEW = 6;

export function Lineage({ model, data }: { model: string; data: ModelPageData }) {
  const { versions, roles } = data.story;
  const origins = useQuery({
    queryKey: ["lineage", model],
    queryFn: () => read<Origin[]>(`/noria/api/models/${encodeURIComponent(model)}/lineage`),
    refetchInterval: false,
    enabled: versions.length > 0,
  });
  const id = useId();
  const [chosen, choose] = useState<number>();
  const [asked, ask] = useState<DataVersion>();
  const [all, setAll] = useState(false);
  const number = chosen ?? data.line.overview.champion?.version ?? versions.at(-1)?.version;
  const version = versions.find((one) => one.version === number);
  if (!version) return <Empty>There is no version whose origin could be shown.</Empty>;
  const origin = origins.data?.find((one) => one.version === number);
  const deployments = data.story.deployments.filter((one) => one.version === number);
  const held = roles.filter((role) => role.version === number);
  const inUse = new Set(roles.map((role) => role.version));
  const newest = versions.toReversed();
  const few = newest.filter((one, place) => place < FEW || inUse.has(one.version) || one.version === number);
  return (
    <>
      <LineageGraph
        model={model}
        data={data}
        versions={all ? newest : few}
        origins={origins.data ?? []}
        chosen={version.version}
        choose={choose}
        ask={ask}
      />
      {few.length < newest.length && (
        <button type="button" onClick={() => setAll(!all)}>
          {all ? "Show fewer versions" : `Show all ${newest.length} versions`}
        </button>
      )}
      {asked && <TouchedBy model={model} data={asked} choose={choose} />}
      <MadeBy model={model} choose={choose} />
      <div className="filters">
        <label htmlFor={id}>
          <span>Version</span>
          <select id={id} value={number} onChange={(event) => choose(Number(event.target.value))}>
            {versions.toReversed().map((one) => (
              <option key={one.version} value={one.version}>
                v{one.version}
              </option>
            ))}
          </select>
        </label>
      </div>
      {origins.isPending && <Loading what="the origin from MLflow" />}
      {origins.error && <Problem error={origins.error} again={() => void origins.refetch()} />}
      <ol className="lineage" aria-label={`Lineage of version ${number}`}>
        <Node title="Source" lines={[`as of ${asTime(version.as_of)}`]} />
        <Node title="Raw table" lines={[origin?.raw_version == null ? "version not recorded" : `version ${origin.raw_version}`]} />
        <Node
          title="Features table"
          lines={[origin?.features_version == null ? "version not recorded" : `version ${origin.features_version}`, short(origin?.features_digest)]}
        />
        <Node title="Training set" lines={[short(origin?.training_set) || "digest not recorded"]} />
        <Node
          title="Run"
          lines={[
            <Out key="run" href={`${data.tracking.replace(/\/$/, "")}/#/runs/${version.run_id}`} away>
              {version.run_id.slice(0, 8)} in MLflow
            </Out>,
            reportAddress(version.page) && (
              <a key="evaluation" href={reportAddress(version.page)!}>
                Evaluation
              </a>
            ),
          ]}
        />
        <Node
          title={`Version ${version.version}`}
          strong
          lines={[
            <a key="card" href={cardAddress(model, version.version)}>
              Model card
            </a>,
            version.status, version.signer ? `signed by ${version.signer}` : "not signed", origin?.compared_with ? `met v${origin.compared_with}` : ""]}
        />
        <Node
          title={deployments.length === 1 ? "Deployment" : "Deployments"}
          lines={[
            ...deployments.map((entry) => {
              const [dag = "", ...run] = entry.deployment.split("/");
              return (
                <Out key={entry.deployment} href={runAddress(dag, run.join("/"))}>
                  {asTime(entry.at)}
                </Out>
              );
            }),
            deployments.length ? "" : "never deployed",
            ...held.map((role) => `now ${role.role}${role.share > 0 && role.share < 1 ? `, ${asPercent(role.share)}` : ""}`),
          ]}
        />
      </ol>
    </>
  );
}

const short = (digest: string | null | undefined) => (digest ? `digest ${digest.slice(0, 12)}` : "");

function Node({ title, lines, strong = false }: { title: string; lines: ReactNode[]; strong?: boolean }) {
  return (
    <li className={strong ? "strong" : undefined}>
      <h3>{title}</h3>
      {lines.filter(Boolean).map((line, place) => (
        <p key={place}>{line}</p>
      ))}
    </li>
  );
}
