import type { ReactNode } from "react";
import { cardAddress, runAddress } from "./airflow";
import { Out } from "./parts";
import type { ModelPageData, Origin, Version } from "./types";
import { asDay } from "./words";

const COLUMNS = ["Source", "Raw table", "Features table", "Training set", "Run", "Version", "Deployment"] as const;
const WIDTH = 124;
const HEIGHT = 42;
const GAP = 30;
const ROW = 54;
const TOP = 26;

export interface DataVersion {
  table: "raw" | "features";
  version: number;
}

interface Node {
  key: string;
  column: number;
  row: number;
  of: Set<number>;
  content: ReactNode;
}

interface Graph {
  nodes: Node[];
  edges: { key: string; from: Node; to: Node; of: Set<number> }[];
}

interface Shown {
  model: string;
  data: ModelPageData;
  /** Newest first. */
  versions: Version[];
  origins: Origin[];
  chosen: number;
  choose: (version: number) => void;
  ask: (data: DataVersion) => void;
}

/** Versions from top to bottom, what they were made from to the left; what several were made from is there once. */
export function LineageGraph(shown: Shown) {
  const { nodes, edges } = graphOf(shown);
  const rows = Math.max(...nodes.map((node) => node.row)) + 1;
  const width = COLUMNS.length * (WIDTH + GAP) - GAP;
  const mine = (of: Set<number>) => (of.has(shown.chosen) ? "mine" : undefined);
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label="Lineage of the versions">
      <svg className="graph" width={width + 4} height={TOP + rows * ROW} role="group" aria-label="From the source to deployments">
        {COLUMNS.map((title, column) => (
          <text key={title} x={left(column) + 2} y={14} className="columns">
            {title}
          </text>
        ))}
        {edges.toSorted((one, other) => Number(one.of.has(shown.chosen)) - Number(other.of.has(shown.chosen))).map((edge) => (
          <path key={edge.key} d={curve(edge.from, edge.to)} className={mine(edge.of)} aria-hidden="true" />
        ))}
        {nodes.map((node) => (
          <foreignObject key={node.key} x={left(node.column)} y={TOP + node.row * ROW} width={WIDTH + 4} height={HEIGHT + 4}>
            <div className={`node ${mine(node.of) ?? ""}`}>{node.content}</div>
          </foreignObject>
        ))}
      </svg>
    </div>
  );
}

const left = (column: number) => 2 + column * (WIDTH + GAP);
const middle = (node: Node) => TOP + node.row * ROW + HEIGHT / 2;

function curve(from: Node, to: Node): string {
  const [x, y, z] = [left(from.column) + WIDTH, left(to.column), (left(from.column) + WIDTH + left(to.column)) / 2];
  return `M${x} ${middle(from)} C${z} ${middle(from)} ${z} ${middle(to)} ${y} ${middle(to)}`;
}

function graphOf(shown: Shown): Graph {
  const nodes = new Map<string, Node>();
  const edges = new Map<string, Graph["edges"][number]>();
  shown.versions.forEach((version, row) => {
    let before: Node | undefined;
    wayOf(version, shown).forEach(({ key, content }, column) => {
      const name = `${column}/${key}`;
      const node: Node = nodes.get(name) ?? { key: name, column, row, of: new Set(), content };
      node.of.add(version.version);
      nodes.set(name, node);
      if (before) {
        const edge = edges.get(`${before.key} ${name}`) ?? { key: `${before.key} ${name}`, from: before, to: node, of: new Set() };
        edge.of.add(version.version);
        edges.set(edge.key, edge);
      }
      before = node;
    });
  });
  return { nodes: [...nodes.values()], edges: [...edges.values()] };
}

/** What a version went through, one entry for each column. */
function wayOf(version: Version, { model, data, origins, choose, chosen, ask }: Shown): { key: string; content: ReactNode }[] {
  const origin = origins.find((one) => one.version === version.version);
  const number = version.version;
  const roles = data.story.roles.filter((role) => role.version === number).map((role) => role.role);
  const runs = data.story.deployments.filter((one) => one.version === number);
  const table = (name: "raw" | "features", at: number | null | undefined) => ({
    key: at == null ? `unknown ${number}` : String(at),
    content:
      at == null ? (
        <span className="soft">not recorded</span>
      ) : (
        <button type="button" onClick={() => ask({ table: name, version: at })} title="What has it touched?">
          version {at}
        </button>
      ),
  });
  const [newest] = runs;
  const [dag = "", ...run] = newest?.deployment.split("/") ?? [];
  return [
    { key: "source", content: <span>{data.about?.owner ? `of ${data.about.owner}` : "the source"}</span> },
    table("raw", origin?.raw_version),
    table("features", origin?.features_version),
    {
      key: origin?.training_set ?? `unknown ${number}`,
      content: (
        <span title={origin?.training_set ?? undefined}>
          {origin?.training_set?.slice(0, 10) ?? "not recorded"}
          <span className="soft block">to {asDay(version.as_of)}</span>
        </span>
      ),
    },
    {
      key: version.run_id,
      content: (
        <Out href={`${data.tracking.replace(/\/$/, "")}/#/runs/${version.run_id}`} away>
          {version.run_id.slice(0, 8)}
        </Out>
      ),
    },
    {
      key: String(number),
      content: (
        <>
          <button type="button" aria-pressed={number === chosen} onClick={() => choose(number)}>
            v{number}
          </button>{" "}
          <a href={cardAddress(model, number)}>card</a>
          <span className="soft block">{roles[0] ?? version.status}</span>
        </>
      ),
    },
    ...(newest
      ? [
          {
            key: `of ${number}`,
            content: (
              <>
                <Out href={runAddress(dag, run.join("/"))}>{asDay(newest.at)}</Out>
                {runs.length > 1 && <span className="soft block">and {runs.length - 1} before</span>}
              </>
            ),
          },
        ]
      : []),
  ];
}
