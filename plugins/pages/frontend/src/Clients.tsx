import { useId, useRef, useState, type KeyboardEvent } from "react";
import { useQuery } from "@tanstack/react-query";
import { read } from "./airflow";
import { Loading, Problem } from "./parts";
import type { ClientExample } from "./types";

const NAMES: Record<string, string> = { curl: "curl", python: "Python", javascript: "JavaScript", java: "Java" };

/** Programs that ask for a prediction, one tab for each language. */
export function Clients({ model }: { model: string }) {
  const query = useQuery({
    queryKey: ["clients", model],
    queryFn: () => read<ClientExample[]>(`/noria/api/models/${encodeURIComponent(model)}/clients`),
    refetchInterval: false,
  });
  if (query.error) return <Problem error={query.error} again={() => void query.refetch()} />;
  if (!query.data?.length) return <Loading what="the model’s signature" />;
  return <Tabs examples={query.data} />;
}

function Tabs({ examples }: { examples: ClientExample[] }) {
  const id = useId();
  const [chosen, choose] = useState(0);
  const tabs = useRef<(HTMLButtonElement | null)[]>([]);
  const shown = examples[chosen]!;
  const onKey = (event: KeyboardEvent) => {
    const last = examples.length - 1;
    const places: Record<string, number> = {
      ArrowRight: chosen === last ? 0 : chosen + 1,
      ArrowLeft: chosen === 0 ? last : chosen - 1,
      Home: 0,
      End: last,
    };
    const next = places[event.key];
    if (next === undefined) return;
    event.preventDefault();
    choose(next);
    tabs.current[next]?.focus();
  };
  return (
    <>
      <div role="tablist" aria-label="Languages" className="tabs" onKeyDown={onKey}>
        {examples.map((one, place) => (
          <button
            key={one.language}
            ref={(element) => {
              tabs.current[place] = element;
            }}
            type="button"
            role="tab"
            id={`${id}-tab-${place}`}
            aria-selected={place === chosen}
            aria-controls={`${id}-panel`}
            tabIndex={place === chosen ? 0 : -1}
            onClick={() => choose(place)}
          >
            {NAMES[one.language] ?? one.language}
          </button>
        ))}
      </div>
      <div role="tabpanel" id={`${id}-panel`} aria-labelledby={`${id}-tab-${chosen}`}>
        <p className="soft">
          Save it as <code>{shown.file}</code>, run it with <code>{shown.command}</code>. With the truth as its argument it sends that
          back, too. A token goes into <code>NORIA_SERVER_TOKEN</code>. <Copy key={shown.language} text={shown.text} />
        </p>
        <pre className="code" tabIndex={0} aria-label={`${shown.file}, the program`}>
          <code>{shown.text}</code>
        </pre>
      </div>
    </>
  );
}

function Copy({ text }: { text: string }) {
  const [done, setDone] = useState(false);
  if (!navigator.clipboard) return null; // Only pages that came encrypted, or from this machine, may write there.
  return (
    <button type="button" onClick={() => void navigator.clipboard.writeText(text).then(() => setDone(true))}>
      {done ? "Copied" : "Copy"}
    </button>
  );
}
