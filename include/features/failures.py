"""Finds out which expression failed, on which row: only run after a query has failed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Final

import duckdb

from include.features.errors import FeatureFailed
from include.features.select import label_sql
from include.lake.columns import FEATURE_TYPES, LABEL
from include.lake.connections import query_batches, quote_name, quote_text
from include.spec.cleaned import cleaned
from include.spec.definition import Definition
from include.spec.expressions import Expression

_CANDIDATES: Final = 100


def explain_failure(
    connection: duckdb.DuckDBPyConnection, definition: Definition, view: str, error: duckdb.Error
) -> FeatureFailed:
    """The error to show for a query over the features that failed on the rows of ``view``."""
    expressions = _expressions(definition)
    for name, (text, kind) in expressions.items():
        checked = cleaned(definition, text)
        sql = label_sql(definition) if name == LABEL else checked.sql
        typed = replace(checked, sql=f"CAST({sql} AS {kind})")
        problem = _failure(connection, f"SELECT {typed.sql} FROM {quote_name(view)}")  # nosec B608
        if problem is not None:
            hidden = checked.columns & set(definition.serving.personal)
            said = f"{type(problem).__name__} (it reads personal columns)" if hidden else _first_line(problem)
            what = f"the expression {text!r} as {kind} fails: {said}{_row(connection, view, typed, hidden)}"
            return FeatureFailed(definition.model, name, f"{what}. Correct the expression or the data.")
    said = type(error).__name__ if definition.serving.personal else _first_line(error)
    return FeatureFailed(definition.model, ", ".join(expressions), f"computing them failed: {said}. Run it again.")


def _expressions(definition: Definition) -> dict[str, tuple[str, str]]:
    """Expression as written and DuckDB type of each feature and of the label."""
    features = definition.features.items()
    found = {name: (feature.expression, FEATURE_TYPES[feature.type]) for name, feature in features}
    return found | {LABEL: (definition.label.expression, "DOUBLE")}


def _failure(connection: duckdb.DuckDBPyConnection, query: str) -> duckdb.Error | None:
    try:
        for _ in query_batches(connection, query):
            pass
    except duckdb.Error as error:
        return error
    return None


def _row(connection: duckdb.DuckDBPyConnection, view: str, expression: Expression, hidden: Collection[str] = ()) -> str:
    """Where it fails: the first row whose value cannot be computed, with the columns that the expression reads."""
    columns = sorted(expression.columns)
    items = "".join(f", {quote_name(name)}" for name in columns)
    try:
        rows = connection.execute(
            f"SELECT partition, _row{items} FROM {quote_name(view)} WHERE TRY({expression.sql}) IS NULL "  # nosec B608
            f"ORDER BY partition, _row LIMIT {_CANDIDATES}"
        ).fetchall()
    except duckdb.Error:
        return f" (it reads {', '.join(columns)})"
    for key, number, *values in rows:
        one = f"SELECT {expression.sql} FROM {quote_name(view)} WHERE partition = {quote_text(key)} AND _row = {number}"  # nosec B608
        if _failure(connection, one) is not None:
            pairs = zip(columns, values, strict=True)
            shown = ", ".join(f"{name} = {'(personal)' if name in hidden else repr(value)}" for name, value in pairs)
            return f" (partition {key}, row {number}: {shown})"
    return f" (it reads {', '.join(columns)})"


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200].rstrip(".")
