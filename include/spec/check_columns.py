"""Checks of clean.columns: columns that are there and read, sound expressions, units that fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from include.spec.clean import ColumnCleaning
from include.spec.definition import ColumnType, Definition
from include.spec.expressions import ExpressionError, check_expression
from include.spec.history import EVERY_ROW
from include.spec.problems import Finding, KeyPath, choose
from include.spec.units import quantity

_NUMBERS: Final[tuple[ColumnType, ...]] = ("number", "integer")


def column_findings(definition: Definition) -> Iterator[Finding]:
    """What is wrong with the cleaning of columns (parses SQL)."""
    rules, columns = definition.clean.columns, definition.source.columns
    if rules and definition.feature_module is not None:
        what = "the features are computed by a feature_module, which gets the columns as they are"
        yield Finding(("clean", "columns"), what, "Clean them in the module.")
        return
    for name, rule in rules.items():
        keys = ("clean", "columns", name)
        if name not in columns:
            yield Finding(keys, f"there is no column {name!r}", choose(name, columns, kind="columns in source.columns"))
            continue
        yield from _kinds(keys, rule, columns[name])
        yield from _expressions(keys, name, rule, definition)
    yield from _unread(definition)


def _kinds(keys: KeyPath, rule: ColumnCleaning, kind: ColumnType) -> Iterator[Finding]:
    made = rule.type or (None if rule.expression is not None else kind)
    for key in ("unit", "clip"):
        if getattr(rule, key) is not None and made is not None and made not in _NUMBERS:
            cure = f"Add `type: number`, or remove {key}."
            yield Finding((*keys, key), f"the column has the type {made}, and {key} is for numbers", cure)
    if rule.unit is not None:
        old, new = rule.unit["from"], rule.unit["to"]
        if quantity(old) != quantity(new):
            what = f"{old} is a unit of {quantity(old)}, and {new} one of {quantity(new)}"
            yield Finding((*keys, "unit"), what, "Name two units of one quantity.")
        elif old == new:
            yield Finding((*keys, "unit"), f"{old} is what it is already", "Name another unit, or remove it.")
    if rule.type == kind and rule.expression is None:
        yield Finding((*keys, "type"), f"the column has the type {kind} already", "Remove it.")


def _expressions(keys: KeyPath, name: str, rule: ColumnCleaning, definition: Definition) -> Iterator[Finding]:
    for key, sql in (("expression", rule.expression), ("null_if", rule.null_if)):
        if sql is None:
            continue
        at = (*keys, key)
        try:
            read = check_expression(sql).columns
        except ExpressionError as error:
            yield Finding(at, error.what, error.cure)
            continue
        unknown = sorted(read - set(definition.source.columns))
        for other in unknown:
            cure = choose(other, definition.source.columns, kind="columns in source.columns")
            yield Finding(at, f"there is no column {other!r}", cure)
        if not unknown and key == "expression" and name not in read:
            what = f"it does not read {name}, the column that it cleans"
            yield Finding(at, what, f"Read {name} in it, or write a feature with this expression.")
        if not unknown and not read:
            yield Finding(at, "the condition reads no column", "Name at least one column of the row.")


def _unread(definition: Definition) -> Iterator[Finding]:
    read: set[str] = set()
    past = [sql for group in definition.history.values() for value in group.values.values() for _, sql in value.given]
    features = [feature.expression for feature in definition.features.values()]
    for sql in (definition.label.expression, *features, *(sql for sql in past if sql != EVERY_ROW)):
        try:
            read |= check_expression(sql).columns
        except ExpressionError:  # said where it stands
            return
    for name in definition.clean.columns:
        if name in definition.source.columns and name not in read:
            what = f"neither a feature nor the label reads {name}"
            yield Finding(("clean", "columns", name), what, "Remove it, or add a feature that reads it.")
