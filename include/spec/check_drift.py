"""Checks of how drift and decay are judged: windows of the past that can be there, metrics that exist."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from include.spec.check_training import metric_findings
from include.spec.definition import Definition, PartitionSize
from include.spec.duration import format_duration
from include.spec.problems import Finding

_STEPS: Final[dict[PartitionSize, timedelta]] = {"hour": timedelta(hours=1), "day": timedelta(days=1)}


def decay_findings(definition: Definition) -> Iterator[Finding]:
    """What is wrong with ``monitoring.decay``."""
    for position, metric in enumerate(definition.monitoring.decay.metrics or ()):
        yield from metric_findings(("monitoring", "decay", "metrics", position), metric, definition)


def drift_findings(definition: Definition) -> Iterator[Finding]:
    """What is wrong with ``monitoring.drift``."""
    drift = definition.monitoring.drift
    keys = ("monitoring", "drift")
    if drift.persistence.drifted > drift.persistence.of:
        what = f"of {drift.persistence.of} windows {drift.persistence.drifted} can never have drifted"
        yield Finding((*keys, "persistence", "drifted"), what, f"Write {drift.persistence.of} or less.")
    if drift.season is None:
        return
    every = (*keys, "season", "every")
    if not definition.source.has_time:
        what = "the source has no event_time, so no season returns"
        yield Finding((*keys, "season"), what, "Remove it, or add source.event_time.")
    elif definition.source.partition == "month":
        what = "seasons are whole days, and the source is cut into months"
        yield Finding((*keys, "season"), what, "Remove it, or cut the source into days.")
    elif drift.season.every < drift.window:
        what = f"{format_duration(drift.season.every)} is shorter than the window ({format_duration(drift.window)})"
        yield Finding(every, what, "Write the window's length or more, so that no window holds its own past.")
    elif drift.season.every % _STEPS[definition.source.partition]:
        step = format_duration(_STEPS[definition.source.partition])
        yield Finding(every, f"it is no multiple of {step}", f"Write a multiple of {step}, such as 7d.")
