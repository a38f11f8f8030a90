import { useQuery } from "@tanstack/react-query";
import { read, reportAddress } from "./airflow";
import { Loading, Mark, Problem } from "./parts";
import type { Comparison as Compared, Interval } from "./types";
import { asNumber, metricName, type Tone } from "./words";

interface Props {
  model: string;
  version: number;
  champion: number | undefined;
  metrics: string[];
}

/** A challenger beside the champion on the same rows, as it was evaluated. */
export function Comparison({ model, version, champion, metrics }: Props) {
  const query = useQuery({
    queryKey: ["comparison", model, version],
    queryFn: () => read<Compared | null>(`/noria/api/models/${encodeURIComponent(model)}/versions/${version}/comparison`),
    refetchInterval: false,
  });
  if (query.isPending) return <Loading what="the comparison" />;
  if (query.error) return <Problem error={query.error} again={() => void query.refetch()} />;
  const found = query.data;
  if (!found?.challenger) return <p className="soft">Version {version} was not evaluated here: there is nothing to compare.</p>;
  const names = [...new Set([...metrics, ...Object.keys(found.challenger)])].filter((name) => found.challenger?.[name]?.value != null);
  return (
    <>
      <p className="soft small">
        {said(found, champion)}{" "}
        {reportAddress(found.page) && <a href={reportAddress(found.page)!}>The whole evaluation of version {version}</a>}
      </p>
      <div className="scroll" tabIndex={0} role="region" aria-label={`Comparison of version ${version} with the champion`}>
        <table>
          <thead>
            <tr>
              <th scope="col">Metric</th>
              <th scope="col">Version {version}</th>
              {found.champion && <th scope="col">Champion, version {found.champion_version}</th>}
              {found.improvements && <th scope="col">Better by</th>}
            </tr>
          </thead>
          <tbody>
            {names.map((name) => (
              <tr key={name}>
                <th scope="row">{metricName(name)}</th>
                <td>
                  <Range of={found.challenger?.[name]} />
                </td>
                {found.champion && (
                  <td>
                    <Range of={found.champion[name]} />
                  </td>
                )}
                {found.improvements && (
                  <td>
                    <Range of={found.improvements[name]} /> <Outcome of={found.improvements[name]} />
                  </td>
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

function said(found: Compared, champion: number | undefined): string {
  const rows = `${asNumber(found.rows)} rows that neither was trained on`;
  switch (found.status) {
    case "fair":
    case "part":
      return `On ${rows}, with intervals.${found.status === "part" ? ` ${found.reason ?? ""}` : ""}${
        champion === found.champion_version ? "" : ` The champion is another one by now: version ${champion ?? "none"}.`
      }`;
    case "none":
      return "There was no champion to compare with; on its own holdout rows, with intervals.";
    default:
      return `Not compared with the champion: ${found.reason ?? "no reason was kept"}`;
  }
}

function Range({ of }: { of: Interval | undefined }) {
  if (of?.value == null) return <>–</>;
  return (
    <>
      {asNumber(of.value)}{" "}
      {of.low != null && (
        <span className="soft nowrap">
          {asNumber(of.low)} to {asNumber(of.high)}
        </span>
      )}
    </>
  );
}

/** In words what the interval of a difference says. */
function Outcome({ of }: { of: Interval | undefined }) {
  if (of?.low == null || of.high == null) return null;
  const [tone, words]: [Tone, string] = of.low > 0 ? ["good", "better"] : of.high < 0 ? ["bad", "worse"] : ["calm", "no clear difference"];
  return <Mark tone={tone}>{words}</Mark>;
}
