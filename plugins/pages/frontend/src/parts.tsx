import type { ReactNode } from "react";
import { follow } from "./airflow";
import type { Tone } from "./words";

const SIGNS: Record<Tone, string> = { good: "✓", warn: "!", bad: "✕", calm: "•" };

/** A word with a tone; the sign says it to those who do not see colours. */
export function Mark({ tone, children, title }: { tone: Tone; children: ReactNode; title?: string }) {
  return (
    <span className={`mark ${tone}`} title={title}>
      <span aria-hidden="true">{SIGNS[tone]}</span> {children}
    </span>
  );
}

export function Loading({ what }: { what: string }) {
  return (
    <p className="soft" role="status">
      Reading {what}…
    </p>
  );
}

export function Problem({ error, again }: { error: Error; again?: () => void }) {
  return (
    <div className="problem" role="alert">
      <p>{error.message}</p>
      {again && (
        <button type="button" onClick={again}>
          Try again
        </button>
      )}
    </div>
  );
}

export function Empty({ children }: { children: ReactNode }) {
  return <p className="empty">{children}</p>;
}

/** A link to Airflow itself, or to another site (in a window of its own). */
export function Out({ href, children, away = false }: { href: string; children: ReactNode; away?: boolean }) {
  return (
    <a href={href} onClick={follow} target={away ? "_blank" : undefined} rel={away ? "noopener noreferrer" : undefined}>
      {children}
    </a>
  );
}

export function Section({ id, title, note, children }: { id: string; title: string; note?: ReactNode; children: ReactNode }) {
  return (
    <section className="card" aria-labelledby={id}>
      <div className="head">
        <h2 id={id}>{title}</h2>
        {note && <div className="note">{note}</div>}
      </div>
      {children}
    </section>
  );
}
