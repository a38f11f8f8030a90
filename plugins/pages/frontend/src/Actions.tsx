import { useState } from "react";
import { runAddress, startRun } from "./airflow";
import { Confirm } from "./Confirm";
import { Out } from "./parts";
import type { Action, ModelPageData, Version } from "./types";
import { asTime } from "./words";

const TITLES: Record<Action["name"], string> = {
  train: "Retrain",
  deploy: "Deploy",
  rollback: "Roll back",
  retire: "Retire",
  restore: "Bring back",
};
const CONSEQUENCES: Record<Action["name"], string> = {
  train: "Trains a challenger on the newest published data. It is deployed only if it passes the gates and beats the champion.",
  deploy: "The version goes through verification and the stages of the definition; it answers requests as far as these let it.",
  rollback: "The previous champion answers again within seconds. A challenger that is under way leaves with the champion.",
  retire:
    "A deployment under way ends, nothing new comes in, and the server stops answering as soon as nobody asks any more, or the drain of the definition is over. Until the end of its retention it can be brought back.",
  restore: "The model is in production as it was before it was retired; one that still answers goes on. What was freed is made anew by the next runs.",
};

export function Actions({ model, data, done }: { model: string; data: ModelPageData; done: () => void }) {
  const [name, setName] = useState<Action["name"]>();
  const action = data.actions.find((one) => one.name === name);
  const usable = data.actions.filter((one) => one.allowed);
  const { champion, retired_at: retired, retiring_until: retiring, restorable_until: until } = data.line.overview;
  const inTime = retired !== null && (until === null || Date.parse(until) > Date.parse(data.read_at));
  if (!data.actions.length) return null;
  if (!usable.length) return <p className="soft">You may look at this model; acting on it is for its owners.</p>;
  const can: Record<Action["name"], boolean> = {
    train: retiring === null,
    deploy: retiring === null && data.story.versions.some(deployable),
    rollback: champion !== null,
    retire: champion !== null && retiring === null,
    restore: retiring !== null || inTime,
  };
  const shown = usable.filter((one) => one.name !== "restore" || can.restore);
  return (
    <div className="buttons" role="group" aria-label="Actions">
      {shown.map((one) => (
        <button
          key={one.name}
          type="button"
          className={one.name === "train" ? "primary" : ["deploy", "restore"].includes(one.name) ? "" : "danger"}
          disabled={!can[one.name]}
          onClick={() => setName(one.name)}
        >
          {TITLES[one.name]}…
        </button>
      ))}
      {action && (
        <Confirm
          title={`${TITLES[action.name]} ${model}?`}
          button={TITLES[action.name]}
          danger={action.name === "rollback" || action.name === "retire"}
          user={data.user}
          close={() => setName(undefined)}
          act={async (reason, form) => {
            const run = await startRun(action.dag_id, confOf(action.name, reason, form), reason);
            done();
            return (
              <>
                Started. <Out href={runAddress(action.dag_id, run.dag_run_id)}>Follow the run</Out>
              </>
            );
          }}
        >
          <p>{CONSEQUENCES[action.name]}</p>
          {action.paused && <p className="badtext">The DAG is paused: the run waits until somebody unpauses it.</p>}
          {action.name === "deploy" && (
            <Which
              versions={data.story.versions}
              champion={champion?.version}
              retired={retired !== null}
            />
          )}
          {action.name === "rollback" && <Back data={data} />}
          {action.name === "retire" && (
            <label className="check">
              <input type="checkbox" name="at_once" /> At once, whoever still asks
            </label>
          )}
        </Confirm>
      )}
    </div>
  );
}

const deployable = (version: Version) => version.status !== "barred";

function Which({ versions, champion, retired }: { versions: Version[]; champion: number | undefined; retired: boolean }) {
  const open = versions.filter((one) => deployable(one) && one.version !== champion).toReversed();
  return (
    <>
      <label className="field">
        <span>Version</span>
        <select name="version" required>
          {open.map((one) => (
            <option key={one.version} value={one.version}>
              v{one.version}, as of {asTime(one.as_of)}
              {one.verdict === "keep" ? " (lost its comparison)" : ""}
            </option>
          ))}
        </select>
      </label>
      <label className="check">
        <input type="checkbox" name="straight" /> Leave out shadow, canary and A/B
      </label>
      <label className="check">
        <input type="checkbox" name="force" required={retired} />{" "}
        {retired ? "Bring the retired model back into production" : "Also if the champion knows newer data"}
      </label>
    </>
  );
}

function Back({ data }: { data: ModelPageData }) {
  const champion = data.line.overview.champion?.version;
  const previous = data.story.roles.find((role) => role.role === "previous");
  const others = data.story.versions.filter((one) => deployable(one) && one.version !== champion).toReversed();
  return (
    <>
      <label className="field">
        <span>Back to</span>
        <select name="to_version">
          {previous && <option value="">v{previous.version}, the previous champion</option>}
          {others
            .filter((one) => one.version !== previous?.version)
            .map((one) => (
              <option key={one.version} value={one.version}>
                v{one.version}, as of {asTime(one.as_of)}
              </option>
            ))}
        </select>
      </label>
      <label className="check">
        <input type="checkbox" name="bar" defaultChecked /> Bar v{champion} until a person lifts the bar
      </label>
    </>
  );
}

const STRAIGHT = "straight to champion";
const MOST_WORDS = 200;

/** What the DAG's form would have sent. */
function confOf(name: Action["name"], reason: string, form: FormData): Record<string, unknown> {
  switch (name) {
    case "train":
      return { started_by: reason.slice(0, MOST_WORDS) };
    case "deploy":
      return {
        version: Number(form.get("version")),
        reason,
        ...(form.get("straight") ? { stages: STRAIGHT } : {}),
        ...(form.get("force") ? { force: true } : {}),
      };
    case "rollback": {
      const to = form.get("to_version");
      return { reason, bar: form.get("bar") !== null, ...(to ? { to_version: Number(to) } : {}) };
    }
    case "retire":
      return { reason, ...(form.get("at_once") ? { drain_minutes: 0 } : {}) };
    case "restore":
      return { reason };
  }
}
