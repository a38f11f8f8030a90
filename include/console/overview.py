"""A line for each model: what is in production, and what the newest checks said. Set-based SQL only."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, text

from include.registry import database
from include.registry.roles import CHALLENGER_ROLES
from include.settings import Settings

Document = dict[str, Any]

GATES: Final = ("raw", "features", "training", "predictions")
"""The stages whose gates are shown."""

_KNOWN: Final = "SELECT model FROM deployment UNION SELECT DISTINCT model FROM model_version"
_ROLES: Final = """
    SELECT s.model, s.role, s.version, s.share, s.since, s.until, s.plan ->> 'stage' AS stage, v.as_of, told.*
    FROM deployment_state AS s JOIN model_version AS v USING (model, version)
    LEFT JOIN LATERAL (
        SELECT coalesce(jsonb_path_query_first(decision, '$.gates[*] ? (@.gate like_regex " at (least|most) ")'),
                        decision -> 'gates' -> 0) AS gate,
               jsonb_array_length(jsonb_path_query_array(decision, '$.gates[*] ? (@.passed == true)')) AS passed,
               jsonb_array_length(jsonb_path_query_array(decision, '$.gates[*]')) AS gates
        FROM (SELECT v.decision) AS own
    ) AS told ON s.role = 'champion'
    WHERE s.model = ANY(:models)
"""
# Each newest row is one step into the index check_result_model: years of checks cost no more than a day.
_NEWEST: Final = """
    LEFT JOIN LATERAL (
        SELECT {columns} FROM check_result
        WHERE model = m.model AND kind = '{kind}' AND stage = '{stage}' {also} ORDER BY at DESC LIMIT 1
    ) AS {name} ON true
"""


def _newest(name: str, kind: str, stage: str, columns: str = "verdict", also: str = "") -> str:
    return _NEWEST.format(name=name, kind=kind, stage=stage, columns=columns, also=also)


_DECAY_COLUMNS: Final = "verdict, left(details ->> 'reason', 300) AS reason, details -> 'changes' -> 0 AS change"
_DRIFT_COLUMNS: Final = """
    verdict, at, left(details ->> 'reason', 300) AS reason,
    CASE WHEN jsonb_typeof(details -> 'share') = 'number' THEN (details ->> 'share')::double precision END AS share
"""
# Looked for only where the newest was refused.
_LET_IN: Final = "AND verdict <> 'refused' AND features.verdict = 'refused'"
_LINES: Final = f"""
    SELECT m.model, d.retired_at, r.until AS retiring_until, r.restorable_until,
           coalesce(made.versions, 0) AS versions, made.newest, raw.verdict AS raw,
           features.verdict AS features, training.verdict AS training, predictions.verdict AS predictions,
           CASE WHEN features.verdict = 'refused' THEN let_in.as_of ELSE features.as_of END AS data_as_of,
           CASE WHEN features.verdict = 'refused' THEN let_in.subject ELSE features.subject END AS data_subject,
           drift.verdict AS drift, drift.at AS drift_at, drift.share AS drift_share, drift.reason AS drift_reason,
           later.verdict AS data_decay,
           later.reason AS data_reason, later.change AS data_change, asked.verdict AS requests_decay,
           asked.reason AS requests_reason, asked.change AS requests_change
    FROM unnest(CAST(:models AS text[])) AS m(model)
    LEFT JOIN deployment AS d ON d.model = m.model
    LEFT JOIN retirement AS r ON r.model = m.model
    LEFT JOIN (
        SELECT model, count(*) AS versions, max(version) AS newest
        FROM model_version WHERE model = ANY(:models) GROUP BY model
    ) AS made ON made.model = m.model
    {"".join(_newest(stage, "gate", stage, "verdict, as_of, subject") for stage in GATES)}
    {_newest("let_in", "gate", "features", "as_of, subject", _LET_IN)}
    {_newest("drift", "drift", "monitor", _DRIFT_COLUMNS)}
    {_newest("later", "decay", "data", _DECAY_COLUMNS)}
    {_newest("asked", "decay", "requests", _DECAY_COLUMNS)}
    ORDER BY m.model
"""  # nosec B608 # made of nothing but the constants above


@dataclass(frozen=True, kw_only=True)
class Role:
    """A version in production.

    :param share: part of the entities that it answers, 0 to 1.
    :param since: when it took the role with this share.
    :param until: deadline of a challenger's stage.
    :param as_of: what it knows.
    """

    role: str
    version: int
    share: float
    since: datetime
    as_of: datetime
    stage: str | None = None
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Drift:
    """The newest check for drift.

    :param share: of the features that drifted; None if nothing could be tested.
    """

    verdict: str
    at: datetime
    share: float | None
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class Decay:
    """The newest word of labels on the champion's answers.

    :param source: "requests", or "data" that came later.
    """

    source: str
    verdict: str
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class Quality:
    """One number beside what it is held against.

    :param gate: the condition in words; for what labels say of production the metric's name.
    :param value: the estimate, with its interval.
    :param bound: what it is held against: a gate's bound, or the value on the holdout part.
    :param passed: None if that could not be told.
    :param source: "holdout", or which labels: "data", "requests".
    """

    metric: str
    gate: str
    value: float | None
    low: float | None
    high: float | None
    bound: float | None
    passed: bool | None
    source: str


@dataclass(frozen=True, kw_only=True)
class ModelOverview:
    """What the list shows of one model, apart from its runs.

    :param retired_at: since when it is out of production.
    :param retiring_until: how long it answers at most, if it is on its way out.
    :param restorable_until: until when its retirement can be undone, if it is out and there is such an end.
    :param data_as_of: as of the newest data that a gate let into the features table.
    :param verdicts: the newest verdict of the gate of each stage that was judged.
    :param gates: how many of the champion's gates passed, of how many; None without a champion.
    """

    model: str
    champion: Role | None = None
    challenger: Role | None = None
    retired_at: datetime | None = None
    retiring_until: datetime | None = None
    restorable_until: datetime | None = None
    versions: int = 0
    newest_version: int | None = None
    data_as_of: datetime | None = None
    data_subject: str | None = None
    verdicts: dict[str, str] = field(default_factory=dict)
    drift: Drift | None = None
    decay: Decay | None = None
    quality: Quality | None = None
    in_production: Quality | None = None
    gates: tuple[int, int] | None = None


def known_models(settings: Settings) -> set[str]:
    """Names of all models that have a version or were ever deployed.

    :raises DatabaseAway: the database cannot be reached.
    """
    with database.reading(settings.database_url) as connection:
        return set(connection.execute(text(_KNOWN)).scalars())


def overview(settings: Settings, models: Collection[str]) -> list[ModelOverview]:
    """A line for each of these models, by name; of one that the registry does not know, an empty one.

    :raises DatabaseAway: the database cannot be reached.
    """
    if not models:
        return []
    with database.reading(settings.database_url) as connection:
        return overview_by(connection, models)


def overview_by(connection: Connection, models: Collection[str]) -> list[ModelOverview]:
    """The same, in a transaction that is open."""
    names = sorted(models)
    roles: dict[str, list[Document]] = {}
    for row in _documents(connection, _ROLES, names):
        roles.setdefault(row["model"], []).append(row)
    return [_line(row, roles.get(row["model"], ())) for row in _documents(connection, _LINES, names)]


def _documents(connection: Connection, statement: str, models: list[str]) -> list[Document]:
    """The rows as dictionaries: their fields are read many times, which of SQLAlchemy's rows takes most of the time."""
    found = connection.execute(text(statement), {"models": models})
    names = tuple(found.keys())
    return [dict(zip(names, row, strict=True)) for row in found]


def _line(row: Document, roles: Sequence[Document]) -> ModelOverview:
    champion = next((held for held in roles if held["role"] == "champion"), None)
    challenger = next((held for held in roles if held["role"] in CHALLENGER_ROLES), None)
    return ModelOverview(
        model=row["model"],
        champion=_role(champion),
        challenger=_role(challenger),
        retired_at=row["retired_at"],
        retiring_until=row["retiring_until"] if row["restorable_until"] is None else None,
        restorable_until=row["restorable_until"] if row["retired_at"] is not None else None,
        versions=row["versions"],
        newest_version=row["newest"],
        data_as_of=row["data_as_of"],
        data_subject=row["data_subject"],
        verdicts={stage: row[stage] for stage in GATES if row[stage] is not None},
        drift=None
        if row["drift"] is None
        else Drift(verdict=row["drift"], at=row["drift_at"], share=row["drift_share"], reason=row["drift_reason"]),
        decay=_decay(row),
        quality=_of_gate(champion),
        in_production=_of_labels("requests", row["requests_change"]) or _of_labels("data", row["data_change"]),
        gates=None if champion is None else (champion["passed"], champion["gates"]),
    )


def _role(row: Document | None) -> Role | None:
    if row is None:
        return None
    return Role(
        role=row["role"], version=row["version"], share=row["share"], since=row["since"], as_of=row["as_of"],
        stage=row["stage"], until=row["until"],
    )  # fmt: skip


def _decay(row: Document) -> Decay | None:
    """Labels of requests go before those of later data, unless only the latter tell anything."""
    said = [
        Decay(source=source, verdict=row[f"{source}_decay"], reason=row[f"{source}_reason"])
        for source in ("requests", "data")
        if row[f"{source}_decay"] is not None
    ]
    return next((one for one in said if one.verdict != "not enough data"), said[0] if said else None)


def _of_gate(champion: Document | None) -> Quality | None:
    """The champion beside its first gate on a value; without one, beside its first gate."""
    gate = champion["gate"] if champion is not None else None
    if not gate:
        return None
    return Quality(
        metric=str(gate["metric"]), gate=str(gate["gate"]), value=gate.get("estimate"), low=gate.get("low"),
        high=gate.get("high"), bound=gate.get("bound"), passed=bool(gate["passed"]), source="holdout",
    )  # fmt: skip


def _of_labels(source: str, change: Any) -> Quality | None:
    """What labels say of the champion's answers, beside its own on the holdout part."""
    if not change:
        return None
    now, before, decayed = change.get("now") or {}, change.get("before") or {}, change.get("decayed")
    return Quality(
        metric=str(change["name"]), gate=str(change["name"]), value=now.get("value"), low=now.get("low"),
        high=now.get("high"), bound=before.get("value"), passed=None if decayed is None else not decayed,
        source=source,
    )  # fmt: skip
