"""Expressions over cleaned columns: in place of each column that ``clean.columns`` names stands what it says.

Everything that computes a feature or the label takes its expression from :func:`cleaned`: the features table, the
packaged model with its compiled features, and the labels of requests.
"""

from __future__ import annotations

from include.spec.clean import ColumnCleaning
from include.spec.column_types import DUCKDB_TYPES
from include.spec.definition import Definition
from include.spec.expressions import Expression, check_expression, substitute
from include.spec.units import convert_sql


def cleaned(definition: Definition, sql: str) -> Expression:
    """The checked expression of a feature or the label, with cleaned columns.

    :raises ExpressionError: if it, or the cleaning of a column, must not run on rows.
    """
    rules = definition.clean.columns
    if not rules:
        return check_expression(sql)
    return substitute(sql, tuple((name, column_sql(name, rule)) for name, rule in rules.items()))


def column_sql(name: str, rule: ColumnCleaning) -> str:
    """SQL of a cleaned column: its expression, null where it is to be, then as another type, in another unit, clipped.

    All columns in it are the source's own, not cleaned ones.

    :raises ExpressionError: if one of its expressions must not run on rows.
    """
    column = '"' + name.replace('"', '""') + '"'
    value = f"({check_expression(rule.expression or column).sql})"
    if rule.null_if is not None:
        value = f"(CASE WHEN {check_expression(rule.null_if).sql} THEN NULL ELSE {value} END)"
    if rule.type is not None:
        value = f"TRY_CAST({value} AS {DUCKDB_TYPES[rule.type]})"
    if rule.unit is not None:
        value = convert_sql(value, rule.unit["from"], rule.unit["to"])
    if rule.clip is not None:
        ends = zip("<>", rule.clip, strict=True)
        cases = [f"WHEN {value} {sign} {_literal(end)} THEN {_literal(end)}" for sign, end in ends if end is not None]
        value = f"(CASE {' '.join(cases)} ELSE {value} END)"
    return value


def _literal(number: float) -> str:
    """A whole number as such, so that a clipped integer stays one; else a DOUBLE."""
    text = str(int(number)) if number == int(number) and abs(number) < 2**53 else f"{abs(number)!r}"
    if "." in text and "e" not in text:
        text = f"{text}e0"
    return f"(-{text.lstrip('-')})" if number < 0 else text
