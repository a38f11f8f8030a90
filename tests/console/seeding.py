"""A registry full of models: rows as the steps leave them, made by the database itself."""

# ruff: noqa: E501 - lines of SQL
from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text

from include.registry import database
from include.settings import Settings

_STATEMENTS = (
    "INSERT INTO deployment (model, revision) SELECT m, :entries FROM unnest(CAST(:models AS text[])) AS m",
    """
    INSERT INTO model_version (model, version, fingerprint, run_id, as_of, artifact_digest, model_uri, status, windows,
                               decision, created_at)
    SELECT m, v, 'f' || v, 'run' || v, timestamptz '2026-01-01' + v * interval '1 day', 'd', 'models:/m', 'registered', '{}',
           jsonb_build_object('verdict', 'promote', 'reason', 'better', 'gates', jsonb_build_array(
               jsonb_build_object('gate', 'Log loss better than the champion', 'metric', 'log_loss', 'passed', true,
                                  'value', 0.01, 'bound', 0, 'estimate', 0.02, 'low', 0.01, 'high', 0.03),
               jsonb_build_object('gate', 'ROC AUC at least 0.62', 'metric', 'roc_auc', 'passed', true, 'value', 0.7,
                                  'bound', 0.62, 'estimate', 0.7, 'low', 0.68, 'high', 0.72))),
           timestamptz '2026-01-01' + v * interval '1 day'
    FROM unnest(CAST(:models AS text[])) AS m, generate_series(1, :versions) AS v
    """,
    """
    INSERT INTO deployment_state (model, role, version, share, since, revision)
    SELECT m, 'champion', :versions, 1, timestamptz '2026-02-01', :entries FROM unnest(CAST(:models AS text[])) AS m
    """,
    """
    INSERT INTO deployment_ledger (model, revision, at, action, from_version, to_version, actor, reason, evidence, state)
    SELECT m, r, timestamptz '2026-01-01' + r * interval '1 hour', 'promote', NULL, 1, 'ana', 'reason ' || r,
           '{"run": "m.train/r"}', '{"champion": 1}'
    FROM generate_series(1, :entries) AS r, unnest(CAST(:models AS text[])) AS m
    """,
    """
    INSERT INTO check_result (model, kind, stage, as_of, subject, verdict, details, page, at)
    SELECT m, c.kind, c.stage, timestamptz '2026-01-01' + n * interval '1 day', 'f' || n, c.verdict,
           CASE c.kind
               WHEN 'drift' THEN jsonb_build_object('share', n / 100.0, 'reason', 'calm', 'champion_version', 1, 'features',
                   jsonb_build_array(jsonb_build_object('name', 'distance', 'drifted', false, 'size', 0.01)))
               WHEN 'decay' THEN jsonb_build_object('champion_version', 1, 'changes', jsonb_build_array(jsonb_build_object(
                   'name', 'roc_auc', 'decayed', false, 'before', '{"value": 0.7}'::jsonb,
                   'now', '{"value": 0.69, "low": 0.66, "high": 0.72}'::jsonb)))
               WHEN 'evaluation' THEN '{"challenger": {"roc_auc": {"value": 0.7, "low": 0.68, "high": 0.72}}}'::jsonb
               ELSE '{"rows": 900, "warnings": 1, "failed": [{"severity": "warning", "expected": "few", "found": "many"}]}'
           END, 'reports/' || m || '/page.html', timestamptz '2026-01-01' + n * interval '1 day'
    FROM unnest(CAST(:models AS text[])) AS m, generate_series(1, :checks) AS n,
         (VALUES ('gate', 'raw', 'passed'), ('gate', 'features', 'passed'), ('gate', 'training', 'passed'),
                 ('gate', 'predictions', 'passed'), ('drift', 'monitor', 'no drift'), ('decay', 'data', 'no decay'),
                 ('evaluation', 'evaluate', 'fair')) AS c(kind, stage, verdict)
    """,
    """
    INSERT INTO step_cost (model, day, step, tries, cpu_seconds)
    SELECT m, current_date - n, step, 1, 36
    FROM unnest(CAST(:models AS text[])) AS m, generate_series(1, :checks) AS n, unnest(array['ingest', 'train']) AS step
    """,
    "ANALYZE step_cost, check_result, deployment_ledger, model_version, deployment_state",
)


def seed(settings: Settings, models: Sequence[str], *, versions: int, entries: int, checks: int) -> None:
    """Put models into the registry's tables.

    :param versions: of each model; the last one is champion.
    :param entries: of each model's ledger.
    :param checks: of each kind and stage, a day apart.
    """
    values = {"models": list(models), "versions": versions, "entries": entries, "checks": checks}
    with database.transaction(settings.database_url) as connection:
        for statement in _STATEMENTS:
            connection.execute(text(statement), values)
