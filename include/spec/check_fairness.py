"""Checks of a definition's rules of fairness, and the columns by which answers are grouped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from include.spec.definition import ColumnType, Definition
from include.spec.fairness import FairnessMeasure
from include.spec.problems import Finding, choose

_GROUPS: Final[tuple[ColumnType, ...]] = ("string", "integer", "boolean")
_BINARY: Final = ("binary_classification",)
_TASKS: Final[dict[FairnessMeasure, tuple[str, ...]]] = {
    "demographic_parity_difference": _BINARY,
    "demographic_parity_ratio": _BINARY,
    "equalized_odds_difference": _BINARY,
    "equalized_odds_ratio": _BINARY,
    "equal_opportunity_difference": _BINARY,
    "accuracy_difference": (*_BINARY, "multiclass_classification"),
    "mae_difference": ("regression",),
}


def fairness_findings(definition: Definition) -> Iterator[Finding]:
    """What is wrong with the rules of fairness."""
    columns = definition.source.columns
    fitting = [name for name, kind in columns.items() if kind in _GROUPS and name not in definition.serving.personal]
    seen = set()
    for position, rule in enumerate(definition.evaluation.fairness):
        keys = ("evaluation", "fairness", position)
        if rule.column not in columns:
            what = f"there is no column {rule.column!r}"
            yield Finding((*keys, "column"), what, choose(rule.column, fitting, kind="columns with groups"))
        elif columns[rule.column] not in _GROUPS:
            what = f"{rule.column} has the type {columns[rule.column]}, whose values are no groups"
            yield Finding((*keys, "column"), what, "Name a column of the type string, integer or boolean.")
        elif rule.column in definition.serving.personal:
            what = f"{rule.column} is personal, so its values may be on no page"
            yield Finding((*keys, "column"), what, "Add a coarser column, such as an age group, and name that.")
        if definition.task not in _TASKS[rule.measure]:
            fit = [name for name, tasks in _TASKS.items() if definition.task in tasks]
            what = f"{rule.measure} is not for {definition.task}"
            yield Finding((*keys, "measure"), what, choose(rule.measure, fit, kind="measures for it"))
        if rule.limit is not None and rule.limit > 1 and rule.measure != "mae_difference":
            yield Finding((*keys, "limit"), f"{rule.limit:g} can never be reached", "Write a number from 0 to 1.")
        if (rule.column, rule.measure) in seen:
            yield Finding(keys, f"{rule.measure} of {rule.column} is there twice", "Remove one of the two.")
        seen.add((rule.column, rule.measure))


def group_columns(definition: Definition) -> list[str]:
    """The columns by which answers are grouped, which tables therefore keep: slices, and those of fairness.

    None of them is personal: the definition's checks refuse that, since pages show their values.
    """
    evaluation = definition.evaluation
    return list(dict.fromkeys([*evaluation.slices, *(rule.column for rule in evaluation.fairness)]))
