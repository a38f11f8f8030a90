"""Checks of a definition whose data has no time: keys that need a time, shares, and the entity that splits the rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydantic import BaseModel

from include.spec.definition import Definition
from include.spec.duration import format_duration
from include.spec.problems import Finding, KeyPath
from include.spec.share import WHOLE, Share, format_parts

_TRAINING: Final = "training"
_NEEDS_TIME: Final[dict[KeyPath, str]] = {
    ("source", "starts"): "it has no first day",
    ("source", "ends"): "it has no last day",
    ("source", "partition"): "it is one whole",
    ("source", "arrives_after"): "it has no partitions that end",
    (_TRAINING, "window"): "the training part is what validation and holdout leave",
    (_TRAINING, "shortest_window"): "no window grows with it",
    (_TRAINING, "max_missing_partitions"): "it is there as a whole or not at all",
    ("monitoring", "drift", "window"): "the newest data is all of it",
}


def whole_findings(definition: Definition) -> Iterator[Finding]:
    """What is wrong with a definition whose source has no ``event_time``."""
    for keys, why in _NEEDS_TIME.items():
        if _is_given(definition, keys):
            yield Finding(keys, f"the source has no event_time, so {why}", "Remove it, or add source.event_time.")
    if definition.source.type == "sql":
        what = "a database is read in windows of the event time, and the source names none"
        yield Finding(("source",), what, "Add source.event_time, or export the rows to a file (type: files).")
    if definition.history:
        what = "values of the past need a time, and the source has no event_time"
        yield Finding(("history",), what, "Remove it, or add source.event_time.")
    duplicates = definition.clean.duplicates
    if duplicates is not None and duplicates.order_by is None:
        what = "without an event_time nothing says which of the duplicates is the first or the last"
        yield Finding(("clean", "duplicates"), what, "Add order_by: the column that says it.")
    if "{partition}" in definition.source.path:
        what = "the path has {partition}, but without an event_time the data is one whole"
        yield Finding(("source", "path"), what, "Name the one file, or add source.event_time.")
    yield from _shares(definition)
    yield from _entity(definition)


def _is_given(definition: BaseModel, keys: KeyPath) -> bool:
    section = definition
    for key in keys[:-1]:
        section = getattr(section, str(key))
    return keys[-1] in section.model_fields_set and getattr(section, str(keys[-1])) is not None


def _shares(definition: Definition) -> Iterator[Finding]:
    training, sound = definition.training, True
    for name, value in (("validation", training.validation), ("holdout", training.holdout)):
        if not isinstance(value, Share):
            sound = False
            what = f"{format_duration(value)} is a length of time, but the source has no event_time"
            yield Finding((_TRAINING, name), what, "Write a share of the rows, such as 15%, or add source.event_time.")
    if sound and isinstance(training.validation, Share) and isinstance(training.holdout, Share):
        taken = training.validation.parts + training.holdout.parts
        if taken >= WHOLE:
            what = f"validation and holdout take {format_parts(taken)} of the rows, which leaves none to train on"
            yield Finding((_TRAINING, "holdout"), what, "Make them smaller; 15% each is usual.")


def _entity(definition: Definition) -> Iterator[Finding]:
    for position, name in enumerate(definition.source.entity):
        if definition.source.columns.get(name) == "number":
            what = f"the column {name!r} has the type number, and without an event_time the entity splits the rows"
            cure = "A decimal number is no stable name: declare it as integer or string, or name another column."
            yield Finding(("source", "entity", position), what, cure)
