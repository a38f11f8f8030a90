"""Checks of the sections deployment and serving: columns and metrics that exist, limits and times that can be met."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from include.spec.check_training import metric_findings
from include.spec.definition import ColumnType, Definition
from include.spec.duration import format_duration
from include.spec.problems import Finding, KeyPath, choose
from include.spec.production import Limit

_NUMBERS: Final = ("integer", "number")
_VALUE_TYPES: Final[dict[ColumnType, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "timestamp": (),
}


def production_findings(definition: Definition) -> Iterator[Finding]:
    """What is wrong with the sections ``deployment`` and ``serving``."""
    places: list[tuple[KeyPath, str | None]] = [
        (("deployment", "stages", position), stage.metric)
        for position, stage in enumerate(definition.deployment.stages)
    ]
    places.append((("deployment", "rollback", "metric"), definition.deployment.rollback.metric))
    for keys, metric in places:
        if metric is not None:
            yield from metric_findings(keys, metric, definition)
    yield from _times(definition)
    for position, name in enumerate(definition.serving.personal):
        yield from _column(("serving", "personal", position), name, definition)
    for position, name in enumerate(definition.evaluation.slices):
        if name in definition.serving.personal:
            what = f"{name!r} is personal (serving.personal), and slices show their values on pages"
            yield Finding(("evaluation", "slices", position), what, "Slice by another column.")
    for name, limit in definition.serving.limits.items():
        keys = ("serving", "limits", name)
        unknown = list(_column(keys, name, definition))
        yield from unknown or _limit(keys, limit, definition.source.columns[name])


def _times(definition: Definition) -> Iterator[Finding]:
    """Times in which nothing can be seen, and one that comes too late to matter."""
    evidence = definition.deployment.evidence
    times: dict[KeyPath, timedelta | None] = {
        ("deployment", "evidence", "timeout"): evidence.timeout,
        ("deployment", "evidence", "time"): evidence.time,
        ("serving", "log", "retention"): definition.serving.log.retention,
    }
    for position, stage in enumerate(definition.deployment.stages):
        times["deployment", "stages", position] = stage.length
    for keys, time in times.items():
        if time is not None and not time:
            yield Finding(keys, "nothing can be seen in no time", "Write a time such as 6h.")
    if evidence.time is not None and evidence.time >= evidence.timeout:
        what = f"by then the stage is rolled back (timeout: {format_duration(evidence.timeout)})"
        yield Finding(("deployment", "evidence", "time"), what, "Write a shorter time than the timeout.")


def _column(keys: KeyPath, name: str, definition: Definition) -> Iterator[Finding]:
    columns = definition.source.columns
    if name not in columns:
        yield Finding(keys, f"there is no column {name!r}", choose(name, columns, kind="columns in source.columns"))


def _limit(keys: KeyPath, limit: Limit, kind: ColumnType) -> Iterator[Finding]:
    ranged = limit.minimum is not None or limit.maximum is not None
    if not ranged and limit.values is None:
        yield Finding(keys, "the limit limits nothing", "Give minimum, maximum or values.")
    if ranged and kind not in _NUMBERS:
        yield Finding(keys, f"a {kind} has no minimum or maximum", "Give values, or remove it.")
    if limit.minimum is not None and limit.maximum is not None and limit.minimum > limit.maximum:
        yield Finding(keys, "the minimum is larger than the maximum", "Swap them.")
    for value in limit.values or ():
        if not isinstance(value, _VALUE_TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
            yield Finding((*keys, "values"), f"{value!r} is no {kind}", f"List values of the type {kind}.")
