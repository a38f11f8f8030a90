"""News from the table ``check_result``: refusals of gates, missing partitions, drift and its like, lost retrainings.

A check that finds the same again and again is told once: as long as no other verdict lies between, it is the same news.
Drift, prediction drift and decay are told by checks of these kinds whose verdict ends the kind's name.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from include.alerts.alert import Alert, Places
from include.spec.alerts import Event

SHOWN: Final = 5
MISSING: Final = ("partitions", "missing")
"""Kind and verdict of the check that names partitions that never arrived."""

_MONITORED: Final[dict[str, tuple[Event, str]]] = {
    "drift": ("drift", "The newest data of {model} has drifted"),
    "prediction drift": ("drift", "The predictions of {model} have drifted ({stage})"),
    "decay": ("decay", "The answers of {model} have become worse"),
    "fairness gap": ("fairness_gap", "The answers of {model} treat groups differently ({stage})"),
    "importance jump": ("importance_jump", "A new version of {model} rests on other inputs than the champion"),
}
"""Event and title by the kind of check."""
_FAMILIES: Final = {"raw": "data", "features": "data", "training": "train", "predictions": "train", "audit": "data"}
_SCORING: Final = frozenset({"scoring", "scores"})

# A thread is what is judged again and again; ``calm`` is the last verdict before that was no alarm.
_NEWS: Final = text(
    """
    WITH judged AS (
        SELECT id, kind, stage, as_of, subject, verdict, details, page, at,
               stage || ' ' || CASE WHEN kind = ANY(:monitored) THEN details ->> 'champion_version' ELSE subject END
                   AS thread,
               CASE WHEN kind = ANY(:monitored) THEN kind LIKE '%' || verdict
                    WHEN kind = 'decision' THEN verdict = 'keep' AND details ->> 'started_by' IS NOT NULL
                    ELSE verdict IN ('refused', 'partly', 'missing') END AS alarming
        FROM check_result
        WHERE model = :model AND kind = ANY(:kinds)
    ), recent AS (
        SELECT DISTINCT kind, thread FROM judged WHERE alarming AND at > clock_timestamp() - :within
    ), told AS (
        SELECT judged.*,
               max(id) FILTER (WHERE NOT alarming AND verdict NOT LIKE 'not enough%')
                   OVER (PARTITION BY kind, thread ORDER BY id) AS calm
        FROM judged JOIN recent USING (kind, thread)
    )
    SELECT * FROM told WHERE alarming AND at > clock_timestamp() - :within ORDER BY id
    """
)


def family_of(stage: str) -> str | None:
    """The DAG family whose runs a stage's check belongs to; None for the server's own log."""
    return "score" if stage in _SCORING else _FAMILIES.get(stage)


def news(connection: Connection, model: str, places: Places, *, within: timedelta, run: str | None) -> list[Alert]:
    """What checks of a model have found lately.

    :param within: how long ago at most.
    :param run: the run that asks, if a run does: what its own checks found is about it.
    """
    values = {
        "model": model,
        "monitored": list(_MONITORED),
        "kinds": ["gate", "decision", MISSING[0], *_MONITORED],
        "within": within,
    }
    rows = list(connection.execute(_NEWS, values))
    return [_alert(row, model, places, run) for row in _first_of_each_attempt(rows)]


def _first_of_each_attempt(rows: list[Row[Any]]) -> Iterator[Row[Any]]:
    """A gate on a range keeps a row for the whole and then one for each refused partition: only the whole is told."""
    seen = set()
    for row in rows:
        attempt = row.details.get("attempt") if row.kind == "gate" else None
        if attempt is None or (attempt, row.stage) not in seen:
            seen.add((attempt, row.stage))
            yield row


def _alert(row: Row[Any], model: str, places: Places, run: str | None) -> Alert:
    if row.kind == "gate":
        return _refusal(row, model, places, run)
    if row.kind == "decision":
        return _lost(row, model, places, run)
    if row.kind == MISSING[0]:
        return _missing(row, model, places, run)
    return _monitored(row, model, places, run)


def _refusal(row: Row[Any], model: str, places: Places, run: str | None) -> Alert:
    found = row.details
    names = [str(name) for name in found.get("refused") or []]
    partly = "partly " if row.verdict == "partly" else ""
    checks = [f"{check['expected']}; found: {check['found']}" for check in found.get("failed") or []]
    why = [found.get("problem"), found.get("reason"), *checks[:SHOWN]]
    reasons = ". ".join(str(one).rstrip(".") for one in why if one)
    named = f"Refused: {_some(names)}. " if names and names != [row.subject] else ""
    family = family_of(row.stage)
    return Alert(
        model=model,
        event="gate_refused",
        subject=row.subject,
        told_once_for=(row.stage, row.subject, str(row.calm or "")),
        title=f"The {row.stage} gate of {model} {partly}refused {row.subject}",
        reason=f"{named}{reasons}.",
        at=row.at,
        as_of=row.as_of if family else None,
        run=_own(run, model, family),
        links=_links(places, model, family, run, row.page),
        details={"stage": row.stage, "verdict": row.verdict, "refused": names, "rows": found.get("rows")},
    )


def _missing(row: Row[Any], model: str, places: Places, run: str | None) -> Alert:
    keys = [str(key) for key in row.details.get("missing") or []]
    return Alert(
        model=model,
        event="missed_partition",
        subject=row.subject,
        told_once_for=(row.subject,),
        title=f"Partitions of {model} are missing: {_some(keys)}",
        reason=str(row.details.get("reason") or ""),
        at=row.at,
        as_of=row.as_of,
        run=_own(run, model, "data"),
        links=_links(places, model, "data", run, row.page),
        details={"missing": keys},
    )


def _monitored(row: Row[Any], model: str, places: Places, run: str | None) -> Alert:
    found = row.details
    started = found.get("start_id") if found.get("retrain") else None
    held = (row.kind, row.stage, str(found.get("champion_version")), str(row.calm or ""))
    names = ("share", "window", "champion_version", "retrain", "start_id")
    event, words = _MONITORED[row.kind]
    title = words.format(model=model, stage=row.stage)
    family = "train" if row.stage == "evaluate" else "monitor"
    return Alert(
        model=model,
        event=event,
        subject=row.subject,
        # The start of a retraining is news; that the same goes on and nothing is started is news once.
        told_once_for=(str(started),) if started else held,
        title=f"{title}; a retraining starts" if started else title,
        reason=str(found.get("reason") or ""),
        at=row.at,
        as_of=row.as_of,
        run=_own(run, model, family),
        links=_links(places, model, family, run, row.page),
        details={name: found[name] for name in names if name in found},
    )


def _lost(row: Row[Any], model: str, places: Places, run: str | None) -> Alert:
    found = row.details
    champion = found.get("champion_version")
    gates = [str(gate.get("sentence") or gate.get("gate")) for gate in found.get("gates") or []]
    lines = "".join(f"\n- {sentence}" for sentence in gates)
    return Alert(
        model=model,
        event="retrain_lost",
        subject=str(found["started_by"]),
        told_once_for=(str(found["started_by"]),),
        title=f"A retraining of {model} did not beat champion version {champion}, which stays",
        reason=f"{found.get('reason') or ''}{lines}",
        at=row.at,
        as_of=row.as_of,
        run=_own(run, model, "train"),
        links=_links(places, model, "train", run, row.page),
        details={"started_by": found["started_by"], "champion_version": champion, "gates": found.get("gates") or []},
    )


def _own(run: str | None, model: str, family: str | None) -> str | None:
    """The run that asks, if the check is one of its own."""
    return run if run is not None and family is not None and run.startswith(f"{model}.{family}/") else None


def _links(places: Places, model: str, family: str | None, run: str | None, page: str | None) -> dict[str, str | None]:
    return {
        "run": places.run(_own(run, model, family)),
        "page": places.page(page),
        "dag": places.dag(f"{model}.{family}") if family else None,
    }


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
