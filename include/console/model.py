"""Everything that the console tells of one model: versions, quality, drift, gates, and the ledger as its timeline."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, text

from include.console.overview import ModelOverview, overview_by
from include.registry import database
from include.registry.step_costs import StepCost, costs_by_step
from include.settings import Settings

VERSIONS: Final = 60
CHECKS: Final = 90
ENTRIES: Final = 100
"""How much of each history a page shows at once."""

_VERSIONS: Final = """
    SELECT v.version, v.as_of, v.created_at, v.status, v.run_id, v.signer, v.decision ->> 'verdict' AS verdict,
           left(v.decision ->> 'reason', 1000) AS reason, coalesce(v.decision -> 'gates', '[]'::jsonb) AS gates,
           judged.challenger AS metrics, judged.page
    FROM (SELECT * FROM model_version WHERE model = :model ORDER BY version DESC LIMIT :most) AS v
    LEFT JOIN LATERAL (
        SELECT details -> 'challenger' AS challenger, page FROM check_result
        WHERE model = :model AND kind = 'evaluation' AND stage = 'evaluate' AND subject = v.fingerprint
        ORDER BY at DESC, id DESC LIMIT 1
    ) AS judged ON true
    ORDER BY v.version
"""
_GATES: Final = """
    SELECT g.stage, newest.* FROM (VALUES ('raw'), ('features'), ('training'), ('predictions')) AS g(stage)
    CROSS JOIN LATERAL (
        SELECT id, verdict, subject, as_of, at, page, coalesce((details ->> 'rows')::bigint, 0) AS rows,
               coalesce((details ->> 'warnings')::integer, 0) AS warnings,
               coalesce(details -> 'failed', '[]'::jsonb) AS failed, details ->> 'problem' AS problem
        FROM check_result WHERE model = :model AND kind = 'gate' AND stage = g.stage
        ORDER BY at DESC, id DESC LIMIT :most
    ) AS newest
    ORDER BY newest.at, newest.id
"""
_DRIFT: Final = """
    SELECT * FROM (
        SELECT DISTINCT ON (as_of) as_of, at, verdict, subject, page, left(details ->> 'reason', 1000) AS reason,
               (details ->> 'champion_version')::integer AS version,
               CASE WHEN jsonb_typeof(details -> 'share') = 'number'
                    THEN (details ->> 'share')::double precision END AS share,
               coalesce(details -> 'features', '[]'::jsonb) AS features
        FROM (SELECT * FROM check_result WHERE model = :model AND kind = 'drift' AND stage = 'monitor'
              ORDER BY at DESC, id DESC LIMIT :most) AS newest
        ORDER BY as_of, id DESC
    ) AS drift ORDER BY as_of
"""
_DECAY: Final = """
    SELECT * FROM (
        SELECT DISTINCT ON (as_of, stage) as_of, at, stage AS source, verdict, page,
               left(details ->> 'reason', 1000) AS reason, (details ->> 'champion_version')::integer AS version,
               coalesce(details -> 'changes', '[]'::jsonb) AS changes
        FROM (SELECT * FROM check_result WHERE model = :model AND kind = 'decay' AND stage IN ('data', 'requests')
              ORDER BY at DESC, id DESC LIMIT :most) AS newest
        ORDER BY as_of, stage, id DESC
    ) AS decay ORDER BY as_of, source
"""
_LEDGER: Final = """
    SELECT revision, at, action, from_version, to_version, actor, reason, state, shares,
           evidence ->> 'deployment' AS deployment, evidence ->> 'stage' AS stage,
           coalesce(evidence ->> 'run', evidence ->> 'request') AS run, evidence -> 'approval' AS approval
    FROM deployment_ledger WHERE model = :model AND revision < :before ORDER BY revision DESC LIMIT :most
"""
_ROLES: Final = """
    SELECT s.role, s.version, s.share, s.since, s.until, s.plan ->> 'stage' AS stage, s.deployment, v.as_of
    FROM deployment_state AS s JOIN model_version AS v USING (model, version) WHERE s.model = :model ORDER BY s.role
"""
_DEPLOYMENTS: Final = """
    SELECT to_version AS version, evidence ->> 'deployment' AS deployment, min(at) AS at
    FROM deployment_ledger
    WHERE model = :model AND to_version IS NOT NULL AND evidence ->> 'deployment' IS NOT NULL
    GROUP BY to_version, evidence ->> 'deployment' ORDER BY max(revision) DESC LIMIT :most
"""
_NEWEST: Final = 2**62

Rows = list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class ModelStory:
    """One model, oldest first but for the ledger.

    :param roles: what serves now, with shares.
    :param versions: the newest versions, each with its metrics (value, low, high) on its holdout part.
    :param gates: verdicts of the gates, at most :data:`CHECKS` of each stage.
    :param drift: checks for drift with every feature's change; the last one of each instant.
    :param decay: what labels said of the champion's answers.
    :param ledger: the newest entries, newest first.
    :param deployments: the newest runs that took a version towards production, newest first.
    :param costs: hours of processor time by step, the dearest first.
    """

    roles: Rows
    versions: Rows
    gates: Rows
    drift: Rows
    decay: Rows
    ledger: Rows
    deployments: Rows
    costs: list[StepCost]


def model_story(settings: Settings, model: str) -> tuple[ModelOverview, ModelStory]:
    """Its line and all else that is known of one model; empty histories if that is nothing.

    :raises DatabaseAway: the database cannot be reached.
    """
    with database.reading(settings.database_url) as connection:
        (line,) = overview_by(connection, [model])
        return line, ModelStory(
            roles=_rows(connection, _ROLES, model),
            versions=_rows(connection, _VERSIONS, model, most=VERSIONS),
            gates=_rows(connection, _GATES, model, most=CHECKS),
            drift=_rows(connection, _DRIFT, model, most=CHECKS),
            decay=_rows(connection, _DECAY, model, most=CHECKS),
            ledger=_rows(connection, _LEDGER, model, most=ENTRIES, before=_NEWEST),
            deployments=_rows(connection, _DEPLOYMENTS, model, most=ENTRIES),
            costs=costs_by_step(connection, model),
        )


def ledger_before(settings: Settings, model: str, revision: int) -> Rows:
    """The entries of the ledger before a revision, newest first, at most :data:`ENTRIES`.

    :raises DatabaseAway: the database cannot be reached.
    """
    with database.reading(settings.database_url) as connection:
        return _rows(connection, _LEDGER, model, most=ENTRIES, before=revision)


def is_known(settings: Settings, model: str) -> bool:
    """Whether the registry has ever heard of the model.

    :raises DatabaseAway: the database cannot be reached.
    """
    query = text(
        "SELECT EXISTS (SELECT 1 FROM deployment WHERE model = :model)"
        " OR EXISTS (SELECT 1 FROM model_version WHERE model = :model)"
    )
    with database.reading(settings.database_url) as connection:
        return bool(connection.execute(query, {"model": model}).scalar_one())


def page_at(settings: Settings, model: str, kind: str, stage: str, began: datetime, ended: datetime) -> str | None:
    """The page of the check that was made between two instants, relative to the store; None if there was none.

    :raises DatabaseAway: the database cannot be reached.
    """
    query = text(
        "SELECT page FROM check_result WHERE model = :model AND kind = :kind AND stage = :stage"
        " AND at BETWEEN :began AND :ended AND page IS NOT NULL ORDER BY at, id LIMIT 1"
    )
    values: dict[str, Any] = {"model": model, "kind": kind, "stage": stage, "began": began, "ended": ended}
    with database.reading(settings.database_url) as connection:
        return connection.execute(query, values).scalar_one_or_none()


def _rows(connection: Connection, statement: str, model: str, **values: Any) -> Rows:
    return [dict(row._mapping) for row in connection.execute(text(statement), {"model": model, **values})]
