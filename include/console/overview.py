"""A line for each model: what is in production, what the newest checks said, what changed last. Set-based SQL only."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, text

from include.registry import database
from include.registry.roles import CHALLENGER_ROLES
from include.settings import Settings

_KNOWN: Final = "SELECT model FROM deployment UNION SELECT DISTINCT model FROM model_version"
_ROLES: Final = """
    SELECT s.model, s.role, s.version, s.share, s.since, s.until, s.plan ->> 'stage' AS stage, v.as_of,
           CASE WHEN s.role = 'champion' THEN v.decision -> 'gates' END AS gates
    FROM deployment_state AS s JOIN model_version AS v USING (model, version) WHERE s.model = ANY(:models)
"""
_RETIRED: Final = "SELECT model, retired_at FROM deployment WHERE model = ANY(:models) AND retired_at IS NOT NULL"
_VERSIONS: Final = """
    SELECT model, count(*) AS versions, max(version) AS newest FROM model_version
    WHERE model = ANY(:models) GROUP BY model
"""
# One step into the index check_result_model for each model and check: years of checks cost no more than a day.
_CHECKS: Final = """
    SELECT m.model, c.kind, c.stage, newest.*
    FROM unnest(CAST(:models AS text[])) AS m(model)
    CROSS JOIN (VALUES ('gate', 'raw'), ('gate', 'features'), ('gate', 'training'), ('gate', 'predictions'),
                       ('drift', 'monitor'), ('decay', 'data'), ('decay', 'requests')) AS c(kind, stage)
    CROSS JOIN LATERAL (
        SELECT verdict, as_of, at, subject, page,
               CASE WHEN jsonb_typeof(details -> 'share') = 'number'
                    THEN (details ->> 'share')::double precision END AS share,
               left(coalesce(details ->> 'reason', details ->> 'problem'), 300) AS reason,
               CASE WHEN c.kind = 'decay' THEN details -> 'changes' -> 0 END AS change
        FROM check_result WHERE model = m.model AND kind = c.kind AND stage = c.stage
        ORDER BY at DESC, id DESC LIMIT 1
    ) AS newest
"""
_PASSED: Final = """
    SELECT m.model, newest.as_of, newest.subject FROM unnest(CAST(:models AS text[])) AS m(model)
    CROSS JOIN LATERAL (
        SELECT as_of, subject FROM check_result
        WHERE model = m.model AND kind = 'gate' AND stage = 'features' AND verdict <> 'refused'
        ORDER BY at DESC, id DESC LIMIT 1
    ) AS newest
"""
_CHANGES: Final = """
    SELECT m.model, newest.* FROM unnest(CAST(:models AS text[])) AS m(model)
    CROSS JOIN LATERAL (
        SELECT action, at, actor, left(reason, 300) AS reason FROM deployment_ledger
        WHERE model = m.model ORDER BY revision DESC LIMIT 1
    ) AS newest
"""


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
class Check:
    """The newest verdict of one check.

    :param share: of drifted features, if it is a check for drift.
    :param page: path of its page, relative to the store.
    """

    kind: str
    stage: str
    verdict: str
    as_of: datetime
    at: datetime
    subject: str
    page: str | None = None
    share: float | None = None
    reason: str | None = None


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
class Change:
    """The newest entry of the ledger."""

    action: str
    at: datetime
    actor: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ModelOverview:
    """What the list shows of one model, apart from its runs.

    :param data_as_of: as of the newest data that a gate let into the features table.
    :param checks: the newest verdict by check: ``gate raw``, ``drift monitor``, ``decay requests``, …
    :param gates: how many of the champion's gates passed, of how many; None without a champion.
    """

    model: str
    champion: Role | None = None
    challenger: Role | None = None
    retired_at: datetime | None = None
    versions: int = 0
    newest_version: int | None = None
    data_as_of: datetime | None = None
    data_subject: str | None = None
    checks: dict[str, Check] = field(default_factory=dict)
    quality: Quality | None = None
    in_production: Quality | None = None
    gates: tuple[int, int] | None = None
    change: Change | None = None


def known_models(settings: Settings) -> set[str]:
    """Names of all models that have a version or were ever deployed.

    :raises DatabaseAway: the database cannot be reached.
    """
    with database.transaction(settings.database_url) as connection:
        return {str(row.model) for row in connection.execute(text(_KNOWN))}


def overview(settings: Settings, models: Collection[str]) -> list[ModelOverview]:
    """A line for each of these models, by name; of one that the registry does not know, an empty one.

    :raises DatabaseAway: the database cannot be reached.
    """
    if not models:
        return []
    names = sorted(models)
    with database.transaction(settings.database_url) as connection:
        found = _Found.read(connection, names)
    return [found.line(model) for model in names]


@dataclass(frozen=True)
class _Found:
    """Rows by model."""

    roles: Mapping[str, list[Row[Any]]]
    retired: Mapping[str, list[Row[Any]]]
    versions: Mapping[str, list[Row[Any]]]
    checks: Mapping[str, list[Row[Any]]]
    passed: Mapping[str, list[Row[Any]]]
    changes: Mapping[str, list[Row[Any]]]

    @classmethod
    def read(cls, connection: Connection, models: list[str]) -> _Found:
        statements = (_ROLES, _RETIRED, _VERSIONS, _CHECKS, _PASSED, _CHANGES)
        return cls(*(_by_model(connection, statement, models) for statement in statements))

    def line(self, model: str) -> ModelOverview:
        roles = self.roles.get(model, [])
        champion = next((row for row in roles if row.role == "champion"), None)
        challenger = next((row for row in roles if row.role in CHALLENGER_ROLES), None)
        versions, passed = _first(self.versions, model), _first(self.passed, model)
        retired, change = _first(self.retired, model), _first(self.changes, model)
        checks = self.checks.get(model, [])
        gates = (champion.gates or []) if champion else None
        return ModelOverview(
            model=model,
            champion=_role(champion),
            challenger=_role(challenger),
            retired_at=retired.retired_at if retired else None,
            versions=versions.versions if versions else 0,
            newest_version=versions.newest if versions else None,
            data_as_of=passed.as_of if passed else None,
            data_subject=passed.subject if passed else None,
            checks={f"{row.kind} {row.stage}": _check(row) for row in checks},
            quality=_of_gates(gates),
            in_production=_of_labels([row for row in checks if row.kind == "decay"]),
            gates=None if gates is None else (sum(bool(gate["passed"]) for gate in gates), len(gates)),
            change=Change(action=change.action, at=change.at, actor=change.actor, reason=change.reason)
            if change
            else None,
        )


def _by_model(connection: Connection, statement: str, models: list[str]) -> dict[str, list[Row[Any]]]:
    found: dict[str, list[Row[Any]]] = {}
    for row in connection.execute(text(statement), {"models": models}):
        found.setdefault(row.model, []).append(row)
    return found


def _first(rows: Mapping[str, list[Row[Any]]], model: str) -> Any:
    return next(iter(rows.get(model, [])), None)


def _role(row: Any) -> Role | None:
    if row is None:
        return None
    # The champion answers what no challenger does.
    return Role(
        role=row.role, version=row.version, share=row.share, since=row.since, as_of=row.as_of,
        stage=row.stage, until=row.until,
    )  # fmt: skip


def _check(row: Any) -> Check:
    return Check(
        kind=row.kind, stage=row.stage, verdict=row.verdict, as_of=row.as_of, at=row.at, subject=row.subject,
        page=row.page, share=row.share, reason=row.reason,
    )  # fmt: skip


def _of_gates(gates: list[dict[str, Any]] | None) -> Quality | None:
    """The champion beside its first gate on a value; without one, beside its first gate."""
    if not gates:
        return None
    gate = next((gate for gate in gates if gate.get("value") is not None and " at " in str(gate["gate"])), gates[0])
    return Quality(
        metric=str(gate["metric"]), gate=str(gate["gate"]), value=gate.get("estimate"), low=gate.get("low"),
        high=gate.get("high"), bound=gate.get("bound"), passed=bool(gate["passed"]), source="holdout",
    )  # fmt: skip


def _of_labels(decays: list[Row[Any]]) -> Quality | None:
    """What labels say of the champion's answers: those of requests go before those of later data."""
    told = [row for row in sorted(decays, key=lambda row: str(row.stage), reverse=True) if row.change]
    if not told:
        return None
    row, change = told[0], told[0].change
    now, before = change.get("now") or {}, change.get("before") or {}
    decayed = change.get("decayed")
    return Quality(
        metric=str(change["name"]), gate=str(change["name"]), value=now.get("value"), low=now.get("low"),
        high=now.get("high"), bound=before.get("value"), passed=None if decayed is None else not decayed,
        source=row.stage,
    )  # fmt: skip
