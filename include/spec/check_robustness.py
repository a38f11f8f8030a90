"""Checks of a definition's disturbances."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from include.spec.check_training import metric_findings
from include.spec.columns import input_columns
from include.spec.definition import ColumnType, Definition
from include.spec.expressions import ExpressionError
from include.spec.histories import row_columns
from include.spec.problems import Finding, KeyPath, choose
from include.spec.robustness import Disturbance, DisturbanceKind

FITTING: Final[dict[DisturbanceKind, tuple[ColumnType, ...]]] = {
    "noise": ("number", "integer"),
    "missing": ("string", "integer", "number", "boolean"),
    "scale": ("number", "integer"),
    "unseen": ("string",),
}


def robustness_findings(definition: Definition, *, expressions: bool) -> Iterator[Finding]:
    """What is wrong with the disturbances of a definition.

    :param expressions: whether SQL may be parsed, which tells what the features read.
    """
    for position, disturbance in enumerate(definition.evaluation.robustness):
        keys = ("evaluation", "robustness", position)
        yield from _metric(keys, disturbance, definition)
        yield from _amount(keys, disturbance)
        yield from _columns(keys, disturbance, definition, expressions=expressions)
        if disturbance.kind == "unseen" and definition.serving.unseen_categories == "refuse":
            what = "a request with an unseen category is refused (serving.unseen_categories)"
            yield Finding((*keys, "kind"), what, "Remove this disturbance: nothing is predicted from such values.")


def _metric(keys: KeyPath, disturbance: Disturbance, definition: Definition) -> Iterator[Finding]:
    if disturbance.metric is not None:
        yield from metric_findings((*keys, "metric"), disturbance.metric, definition)


def _amount(keys: KeyPath, disturbance: Disturbance) -> Iterator[Finding]:
    if disturbance.kind in {"missing", "unseen"} and disturbance.amount > 1:
        yield Finding((*keys, "amount"), f"{disturbance.amount:g} is no share of the values", "Write at most 1.")
    if disturbance.kind == "scale" and disturbance.amount == 1:
        yield Finding((*keys, "amount"), "a factor of 1 changes nothing", "Write the other unit's factor.")


def _columns(
    keys: KeyPath, disturbance: Disturbance, definition: Definition, *, expressions: bool
) -> Iterator[Finding]:
    types, kinds = row_columns(definition), FITTING[disturbance.kind]
    inputs = _inputs(definition) if expressions else types
    fitting = [name for name, kind in inputs.items() if kind in kinds]
    if disturbance.columns is None:
        if disturbance.kind == "scale":
            yield Finding(
                keys, "scale needs columns", "Name those whose unit may change, such as `columns: [distance]`."
            )
        elif not fitting:
            yield Finding(keys, f"no feature reads a column that {disturbance.kind} fits", "Remove this disturbance.")
    for position, name in enumerate(disturbance.columns or ()):
        at = (*keys, "columns", position)
        if name not in types:
            yield Finding(at, f"there is no column {name!r}", choose(name, fitting, kind="columns that it fits"))
        elif types[name] not in kinds:
            what = f"{name} has the type {types[name]}, which {disturbance.kind} does not fit"
            yield Finding(at, what, choose(name, fitting, kind="columns that it fits"))
        elif name not in inputs:
            yield Finding(at, f"no feature reads {name}", choose(name, fitting, kind="columns that it fits"))


def _inputs(definition: Definition) -> dict[str, ColumnType]:
    try:
        return input_columns(definition)
    except ExpressionError:  # said where it stands
        return definition.source.columns
