"""A stage's plan: what the definition asks of the challenger there, as the JSON that the deployment state keeps.

The server judges by the plan and needs no definition: it goes on the same way when the file has changed meanwhile.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from include.spec.columns import columns_typed
from include.spec.definition import Definition
from include.spec.objective import objective_columns
from include.spec.production import Stage, live_metric

Plan = dict[str, Any]


def plan_for(
    definition: Definition,
    stage: Stage | None,
    *,
    champion: int | None,
    started_at: datetime,
    threshold: float | None = None,
    champion_threshold: float | None = None,
) -> Plan:
    """The plan of one stage of a definition.

    Its keys: ``stage`` (name), ``kind``, ``evidence`` (``requests``, ``labels``, ``time_s`` or null), ``rollback``
    (``error_rate``, ``p99_ms`` or null, ``added_ms``, ``prediction_shift``, ``quality_margin``), ``metric``, ``task``,
    ``threshold``, ``champion_threshold`` (only if it has one of its own), ``costs`` (of right and wrong answers, or
    null), ``objective`` (the business's own number with the columns that it reads and their types, or null),
    ``classes`` (of a multiclass classification only), ``length_s`` (of an A/B test, else null),
    ``label_known_after_s``, ``event_time`` (the column with the event's time, or null), ``started_at``, ``champion``.
    Durations are in seconds.

    :param stage: None: the role ``candidate``, before the first stage.
    :param champion: the version that the deployment compares with, or None.
    :param started_at: when the deployment's first stage began, with time zone.
    :param threshold: the version's own; the definition's if left out.
    :param champion_threshold: the champion's own.
    """
    deployment = definition.deployment
    evidence, rollback = deployment.evidence, deployment.rollback
    return {
        "stage": "candidate" if stage is None else stage.name,
        "kind": "candidate" if stage is None else stage.kind,
        "evidence": {"requests": evidence.requests, "labels": evidence.labels, "time_s": _seconds(evidence.time)},
        "rollback": {
            "error_rate": rollback.error_rate,
            "p99_ms": rollback.p99_ms,
            "added_ms": rollback.added_ms,
            "prediction_shift": rollback.prediction_shift,
            "quality_margin": rollback.quality_margin,
        },
        "metric": (None if stage is None else stage.metric) or rollback.metric or live_metric(definition),
        "task": definition.task,
        **({"classes": list(definition.label.class_names)} if definition.label.classes else {}),
        "threshold": definition.evaluation.threshold if threshold is None else threshold,
        **({} if champion_threshold is None else {"champion_threshold": champion_threshold}),
        "costs": definition.evaluation.costs.model_dump() if definition.evaluation.costs else None,
        "objective": _objective(definition),
        "length_s": None if stage is None else _seconds(stage.length),
        "label_known_after_s": _seconds(definition.label.known_after),
        "event_time": definition.source.event_time,
        "started_at": started_at.isoformat(),
        "champion": champion,
    }


def deadline_for(definition: Definition, stage: Stage | None, *, entered_at: datetime) -> datetime:
    """When a stage that has not ended is rolled back: after its time-out, of an A/B test after its length besides."""
    length = timedelta(0) if stage is None or stage.length is None else stage.length
    return entered_at + length + definition.deployment.evidence.timeout


def _objective(definition: Definition) -> dict[str, Any] | None:
    objective = definition.evaluation.objective
    if objective is None:
        return None
    return objective.model_dump() | {"columns": columns_typed(definition, objective_columns(definition))}


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()
