"""The newest verdict of every check of every model: gates, drift, decay, decisions.

The newest rows are found by hopping through the index ``check_result_model``: years of checks cost no more than a day.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from prometheus_client import Metric
from sqlalchemy import Row

from include.exporter.reading import gauge, reading, rows

MOST: Final = 5_000
"""Series of checks at most: about fifteen for a model."""
LOOKED_BACK: Final = 20

_NEWEST: Final = """
    WITH RECURSIVE kept AS (
        (SELECT model, kind, stage FROM check_result ORDER BY model, kind, stage LIMIT 1)
        UNION ALL
        SELECT next.* FROM kept CROSS JOIN LATERAL (
            SELECT model, kind, stage FROM check_result
            WHERE (model, kind, stage) > (kept.model, kept.kind, kept.stage)
            ORDER BY model, kind, stage LIMIT 1
        ) AS next
    )
    SELECT kept.model, kept.kind, kept.stage, newest.* FROM (SELECT * FROM kept LIMIT :most) AS kept
    CROSS JOIN LATERAL (
        SELECT verdict, extract(epoch FROM at) AS at, extract(epoch FROM as_of) AS as_of,
               CASE WHEN jsonb_typeof(details -> 'share') = 'number'
                    THEN (details ->> 'share')::double precision END AS share,
               CASE WHEN kind = 'decay' THEN details END AS quality
        FROM check_result WHERE model = kept.model AND kind = kept.kind AND stage = kept.stage
        ORDER BY at DESC, id DESC LIMIT 1
    ) AS newest
"""
# A gate on a range keeps a row for the whole and one for each refused partition: what counts is the attempt.
_GATES: Final = """
    SELECT pair.model, pair.stage, latest.* FROM unnest(:models, :stages) AS pair(model, stage)
    CROSS JOIN LATERAL (
        SELECT count(DISTINCT coalesce(attempt, id::text)) FILTER (WHERE passed_since IS NULL AND refused) AS refusals,
               extract(epoch FROM max(as_of) FILTER (WHERE NOT refused)) AS passed_as_of
        FROM (
            SELECT id, as_of, details ->> 'attempt' AS attempt, verdict = 'refused' AS refused,
                   max(id) FILTER (WHERE verdict <> 'refused') OVER (ORDER BY at DESC, id DESC) AS passed_since
            FROM check_result WHERE model = pair.model AND kind = 'gate' AND stage = pair.stage
            ORDER BY at DESC, id DESC LIMIT :looked_back
        ) AS gates
    ) AS latest
"""


def read_checks(database_url: str) -> list[Metric]:
    """What the newest checks have found."""
    with reading(database_url) as connection:
        newest = rows(connection, _NEWEST, {"most": MOST})
        gates = [row for row in newest if row.kind == "gate"]
        pairs = {"models": [row.model for row in gates], "stages": [row.stage for row in gates]}
        judged = rows(connection, _GATES, pairs | {"looked_back": LOOKED_BACK}) if gates else []
    return [*_verdicts(newest), *_of_gates(judged), *_quality([row for row in newest if row.kind == "decay"])]


def _verdicts(newest: Iterable[Row[Any]]) -> list[Metric]:
    labels = ("model", "check", "stage")
    by_check = {(row.model, row.kind, row.stage): row for row in newest}
    return [
        gauge(
            "noria_check_verdict",
            "The newest verdict of a check, as a label; 1.",
            (*labels, "verdict"),
            {(*name, row.verdict): 1 for name, row in by_check.items()},
        ),
        gauge(
            "noria_check_timestamp_seconds",
            "When a check was last made.",
            labels,
            {name: row.at for name, row in by_check.items()},
        ),
        gauge(
            "noria_check_as_of_timestamp_seconds",
            "The instant of data time as of which a check was last made.",
            labels,
            {name: row.as_of for name, row in by_check.items()},
        ),
        gauge(
            "noria_drift_features_ratio",
            "Share of the features that had drifted in the newest check, from 0 to 1.",
            ("model",),
            {(row.model,): row.share for row in by_check.values() if row.kind == "drift"},
        ),
    ]


def _of_gates(judged: Iterable[Row[Any]]) -> list[Metric]:
    by_gate = {(row.model, row.stage): row for row in judged}
    return [
        gauge(
            "noria_gate_refusals_in_a_row",
            f"Attempts that a gate refused since it last passed something; of the newest {LOOKED_BACK} verdicts.",
            ("model", "stage"),
            {name: row.refusals for name, row in by_gate.items()},
        ),
        gauge(
            "noria_data_as_of_timestamp_seconds",
            "The newest instant of data time as of which features have passed their gate.",
            ("model",),
            {(model,): row.passed_as_of for (model, stage), row in by_gate.items() if stage == "features"},
        ),
    ]


def _quality(decays: list[Row[Any]]) -> list[Metric]:
    values: dict[tuple[str, ...], float | None] = {}
    for row in decays:
        for change in row.quality.get("changes") or []:
            for part, where in (("before", "holdout"), ("now", "production")):
                for bound in ("low", "value", "high"):
                    key = (row.model, row.stage, change["name"], where, bound)
                    values[key] = change[part].get(bound)
    counts: dict[str, dict[tuple[str, ...], float | None]] = {
        name: {(row.model, row.stage): row.quality.get(name) for row in decays} for name in ("labels", "answered")
    }
    return [
        gauge(
            "noria_quality",
            "A metric of the champion, on its holdout part and in production: the value and its interval's bounds.",
            ("model", "source", "metric", "part", "bound"),
            values,
        ),
        gauge(
            "noria_quality_labels",
            "Answers with a label that the newest check of the champion's quality rests on.",
            ("model", "source"),
            counts["labels"],
        ),
        gauge(
            "noria_quality_answers",
            "Answers, with or without a label, that the newest check of the champion's quality looked at.",
            ("model", "source"),
            counts["answered"],
        ),
    ]
