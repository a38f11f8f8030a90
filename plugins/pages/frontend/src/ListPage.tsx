import { Fragment, useMemo, useState } from "react";
import { useQuery } from "@tanstack/react-query";
import {
  createColumnHelper,
  flexRender,
  getCoreRowModel,
  getFilteredRowModel,
  getPaginationRowModel,
  getSortedRowModel,
  useReactTable,
  type SortingState,
} from "@tanstack/react-table";
import { modelAddress, read } from "./airflow";
import { attentionOf } from "./attention";
import { Empty, Loading, Mark, Problem } from "./parts";
import type { Cost, Line, ModelList, Quality } from "./types";
import { ago, asDay, asHours, asNumber, asPercent, asTime, fromNow, metricName, toneOf } from "./words";

const STAGES = ["raw", "features", "training", "predictions"] as const;
const SHOWN = 50;

type Which = "all" | "attention" | "production" | "challenger" | "retired";
const WHICH: [Which, string, (row: Row) => boolean][] = [
  ["all", "All models", () => true],
  ["attention", "Need attention", (row) => row.attention.length > 0],
  ["production", "In production", (row) => row.overview.champion !== null],
  ["challenger", "With a challenger", (row) => row.overview.challenger !== null],
  ["retired", "Retired", (row) => row.overview.retired_at !== null],
];

interface Row extends Line {
  attention: string[];
  cost: Cost | undefined;
}

const time = (value: string | null | undefined) => (value ? Date.parse(value) : undefined);
const column = createColumnHelper<Row>();

function columnsAt(now: number) {
  return [
    column.accessor((row) => row.overview.model, { id: "model", header: "Model", cell: ({ row }) => <Name row={row.original} /> }),
    // Whoever waits for an answer comes first.
    column.accessor((row) => row.attention.length + (row.questions ? 100 : 0), {
      id: "attention",
      header: "Attention",
      sortDescFirst: true,
      cell: ({ row }) => <Attention row={row.original} />,
    }),
    column.accessor((row) => time(row.overview.champion?.since), {
      id: "champion",
      header: "Champion",
      sortUndefined: "last",
      cell: ({ row }) => <Champion row={row.original} now={now} />,
    }),
    column.accessor((row) => time(row.overview.data_as_of), {
      id: "data",
      header: "Latest data",
      sortUndefined: "last",
      cell: ({ row }) => <span title={asTime(row.original.overview.data_as_of)}>{asDay(row.original.overview.data_as_of)}</span>,
    }),
    column.accessor((row) => STAGES.filter((stage) => row.overview.verdicts[stage] === "refused").length, {
      id: "gates",
      header: "Gates",
      sortDescFirst: true,
      cell: ({ row }) => <Gates row={row.original} />,
    }),
    column.accessor((row) => row.overview.quality?.value ?? undefined, {
      id: "quality",
      header: "Quality",
      sortUndefined: "last",
      cell: ({ row }) => <QualityCell row={row.original} />,
    }),
    column.accessor((row) => row.overview.drift?.share ?? undefined, {
      id: "drift",
      header: "Drift",
      sortUndefined: "last",
      sortDescFirst: true,
      cell: ({ row }) => <Drift row={row.original} now={now} />,
    }),
    column.accessor((row) => row.cost?.lately, {
      id: "cost",
      header: "CPU, 30 d",
      sortUndefined: "last",
      sortDescFirst: true,
      cell: ({ row }) => asHours(row.original.cost?.lately),
    }),
    column.accessor((row) => row.cost?.in_all, {
      id: "cost_in_all",
      header: "CPU, all",
      sortUndefined: "last",
      sortDescFirst: true,
      cell: ({ row }) => asHours(row.original.cost?.in_all),
    }),
    column.accessor((row) => time(row.next_run?.next_run), {
      id: "next",
      header: "Next run",
      sortUndefined: "last",
      cell: ({ row }) => <Next row={row.original} now={now} />,
    }),
  ];
}

export function ListPage() {
  const list = useQuery({ queryKey: ["models"], queryFn: () => read<ModelList>("/noria/api/models") });
  const costs = useQuery({
    queryKey: ["costs"],
    queryFn: () => read<Record<string, Cost>>("/noria/api/models/costs"),
    refetchInterval: 300_000,
  });
  const rows = useMemo<Row[]>(
    () =>
      (list.data?.models ?? []).map((line) => ({
        ...line,
        attention: attentionOf(line),
        cost: costs.data?.[line.overview.model],
      })),
    [list.data, costs.data],
  );
  return (
    <>
      <header className="page">
        <h1>Models</h1>
        <p className="soft">What every model serves, how well, and what needs a person.</p>
      </header>
      {list.error && <Problem error={list.error} again={() => void list.refetch()} />}
      {list.isPending && <Loading what="models" />}
      {list.data && <Models rows={rows} now={Date.parse(list.data.read_at)} />}
    </>
  );
}

function Models({ rows, now }: { rows: Row[]; now: number }) {
  const [which, setWhich] = useState<Which>("all");
  const [words, setWords] = useState("");
  const [owner, setOwner] = useState("");
  const [sorting, setSorting] = useState<SortingState>([
    { id: "attention", desc: true },
    { id: "model", desc: false },
  ]);
  const owners = useMemo(() => [...new Set(rows.map((row) => row.owner).filter((name): name is string => !!name))].sort(), [rows]);
  const chosen = useMemo(() => {
    const wanted = words.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const fits = WHICH.find(([name]) => name === which)![2];
    return rows.filter(
      (row) =>
        fits(row) &&
        (!owner || row.owner === owner) &&
        wanted.every((word) => `${row.overview.model} ${row.owner ?? ""} ${row.attention.join(" ")}`.toLowerCase().includes(word)),
    );
  }, [rows, which, owner, words]);
  const columns = useMemo(() => columnsAt(now), [now]);
  const table = useReactTable({
    data: chosen,
    columns,
    state: { sorting },
    onSortingChange: setSorting,
    getCoreRowModel: getCoreRowModel(),
    getFilteredRowModel: getFilteredRowModel(),
    getSortedRowModel: getSortedRowModel(),
    getPaginationRowModel: getPaginationRowModel(),
    initialState: { pagination: { pageSize: SHOWN, pageIndex: 0 } },
    getRowId: (row) => row.overview.model,
    autoResetPageIndex: false,
  });
  const back = () => table.setPageIndex(0);
  const pages = table.getPageCount();
  return (
    <>
      <div className="tiles" role="group" aria-label="Show">
        {WHICH.map(([name, title, fits]) => (
          <button
            key={name}
            type="button"
            className="tile"
            aria-pressed={which === name}
            onClick={() => {
              setWhich(name);
              back();
            }}
          >
            <span className="count">{rows.filter(fits).length}</span>
            <span>{title}</span>
          </button>
        ))}
      </div>
      <form className="filters" role="search" onSubmit={(event) => event.preventDefault()}>
        <label>
          <span>Find</span>
          <input
            type="search"
            value={words}
            placeholder="Name, owner, drift, approval…"
            onChange={(event) => {
              setWords(event.target.value);
              back();
            }}
          />
        </label>
        {owners.length > 1 && (
          <label>
            <span>Owner</span>
            <select
              value={owner}
              onChange={(event) => {
                setOwner(event.target.value);
                back();
              }}
            >
              <option value="">All</option>
              {owners.map((name) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          </label>
        )}
        <label className="phone">
          <span>Sort by</span>
          <select
            value={sorting[0]?.id ?? "model"}
            onChange={(event) => setSorting([{ id: event.target.value, desc: event.target.value === "attention" }])}
          >
            {table.getAllLeafColumns().map((one) => (
              <option key={one.id} value={one.id}>
                {String(one.columnDef.header)}
              </option>
            ))}
          </select>
        </label>
      </form>
      <p className="soft small" role="status">
        {chosen.length === rows.length ? `${rows.length} models` : `${chosen.length} of ${rows.length} models`}
      </p>
      {rows.length === 0 ? (
        <Empty>There is no model that you may see. A model is a file in include/models, and its DAGs are its owner’s.</Empty>
      ) : (
        <div className="scroll" tabIndex={0} role="region" aria-label="Models">
          <table className="models" role="table">
            <thead role="rowgroup">
              {table.getHeaderGroups().map((group) => (
                <tr key={group.id} role="row">
                  {group.headers.map((header) => {
                    const sorted = header.column.getIsSorted();
                    return (
                      <th
                        key={header.id}
                        scope="col"
                        role="columnheader"
                        aria-sort={sorted === "asc" ? "ascending" : sorted === "desc" ? "descending" : "none"}
                      >
                        <button type="button" className="sort" onClick={header.column.getToggleSortingHandler()}>
                          {flexRender(header.column.columnDef.header, header.getContext())}
                          <span aria-hidden="true">{sorted === "asc" ? " ▲" : sorted === "desc" ? " ▼" : ""}</span>
                        </button>
                      </th>
                    );
                  })}
                </tr>
              ))}
            </thead>
            <tbody role="rowgroup">
              {table.getRowModel().rows.map((row) => (
                <tr key={row.id} role="row">
                  {row.getVisibleCells().map((cell) => {
                    const content = flexRender(cell.column.columnDef.cell, cell.getContext());
                    return cell.column.id === "model" ? (
                      <th key={cell.id} scope="row" role="rowheader">
                        {content}
                      </th>
                    ) : (
                      <td key={cell.id} role="cell" className={cell.column.id} data-label={String(cell.column.columnDef.header)}>
                        {content}
                      </td>
                    );
                  })}
                </tr>
              ))}
            </tbody>
          </table>
          {chosen.length === 0 && <Empty>No model fits. Clear the filters to see all.</Empty>}
        </div>
      )}
      {pages > 1 && (
        <nav className="pages" aria-label="Pages of models">
          <button type="button" onClick={() => table.previousPage()} disabled={!table.getCanPreviousPage()}>
            Earlier
          </button>
          <span>
            {table.getState().pagination.pageIndex + 1} of {pages}
          </span>
          <button type="button" onClick={() => table.nextPage()} disabled={!table.getCanNextPage()}>
            Later
          </button>
        </nav>
      )}
    </>
  );
}

function Name({ row }: { row: Row }) {
  return (
    <>
      <a className="name" href={modelAddress(row.overview.model)}>
        {row.overview.model.split("_").map((part, place) => (
          <Fragment key={place}>
            {place > 0 && (
              <>
                _<wbr />
              </>
            )}
            {part}
          </Fragment>
        ))}
      </a>
      <span className="soft small block">{row.owner ?? "no DAG"}</span>
    </>
  );
}

function Attention({ row }: { row: Row }) {
  if (row.overview.retired_at) return <Mark tone="calm">retired</Mark>;
  if (row.overview.retiring_until) return <Mark tone="warn">retiring until {asTime(row.overview.retiring_until)}</Mark>;
  if (!row.attention.length) return <Mark tone="good">all is well</Mark>;
  const tone = (reason: string) => (["paused", "no champion", "waits for approval"].includes(reason) ? "warn" : "bad");
  return (
    <span className="marks">
      {row.attention.map((reason) => (
        <Mark key={reason} tone={tone(reason)}>
          {reason}
        </Mark>
      ))}
    </span>
  );
}

function Champion({ row, now }: { row: Row; now: number }) {
  const { champion, challenger } = row.overview;
  const share = challenger?.share ?? 0;
  return (
    <>
      {champion ? (
        <span>
          <b>v{champion.version}</b> <span title={`since ${asTime(champion.since)}`}>since {ago(champion.since, now).replace(" ago", "")}</span>
          {share > 0 && ` · ${asPercent(1 - share)}`}
        </span>
      ) : (
        <span className="soft">none</span>
      )}
      {challenger && (
        <span className="block small">
          v{challenger.version} in {(challenger.stage ?? challenger.role).replaceAll("_", " ")}
          {share > 0 && ` · ${asPercent(share)}`}
        </span>
      )}
    </>
  );
}

function Gates({ row }: { row: Row }) {
  const known = STAGES.map((stage) => row.overview.verdicts[stage]);
  if (!known.some(Boolean)) return <span className="soft">–</span>;
  return (
    <ul className="letters">
      {STAGES.map((stage, place) => {
        const verdict = known[place] ?? "not judged";
        return (
          <li key={stage} className={`dot ${toneOf(verdict)}`} title={`${stage}: ${verdict}`}>
            <span className="hidden">
              {stage}: {verdict}
            </span>
            <span aria-hidden="true">{stage.charAt(0).toUpperCase()}</span>
          </li>
        );
      })}
    </ul>
  );
}

function QualityCell({ row }: { row: Row }) {
  const { quality, in_production: live } = row.overview;
  if (!quality) return <span className="soft">–</span>;
  return (
    <>
      <Against quality={quality} />
      {live && live.value !== null && (
        <span className="block small" title={`by labels of ${live.source}; on the holdout part ${asNumber(live.bound)}`}>
          live {metricName(live.metric)} {asNumber(live.value)}
        </span>
      )}
    </>
  );
}

function Against({ quality }: { quality: Quality }) {
  const interval = quality.low === null ? "" : ` (${asNumber(quality.low)} to ${asNumber(quality.high)})`;
  return (
    <span title={`${quality.gate}${interval}`}>
      {metricName(quality.metric)} <b>{asNumber(quality.value)}</b>{" "}
      <span className={`small ${quality.passed ? "" : "badtext"}`}>
        {quality.bound === null ? "" : `${quality.passed ? "✓" : "✕"} ${quality.gate.replace(/^.*? (at|better|less) /, "$1 ")}`}
      </span>
    </span>
  );
}

function Drift({ row, now }: { row: Row; now: number }) {
  const { drift: check, decay } = row.overview;
  if (!check && !decay) return <span className="soft">not checked</span>;
  return (
    <span className="marks">
      {check && (
        <Mark tone={toneOf(check.verdict)} title={`${check.reason ?? ""} ${ago(check.at, now)}`}>
          {check.verdict}
          {check.share !== null && check.share > 0 ? ` ${asPercent(check.share)}` : ""}
        </Mark>
      )}
      {decay && (decay.verdict === "decay" || decay.verdict === "no decay") && (
        <Mark tone={toneOf(decay.verdict)} title={decay.reason ?? undefined}>
          {decay.verdict}
        </Mark>
      )}
    </span>
  );
}

function Next({ row, now }: { row: Row; now: number }) {
  return (
    <>
      {row.next_run ? (
        <span title={asTime(row.next_run.next_run)}>
          {row.next_run.family} {fromNow(row.next_run.next_run, now)}
        </span>
      ) : (
        <span className="soft">{row.paused ? "paused" : "by hand"}</span>
      )}
      {row.under_way.length > 0 && <span className="block small">{row.under_way.join(", ")} running</span>}
    </>
  );
}
