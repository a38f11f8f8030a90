"""Counts of new rows over the bins of a training profile: one scan by DuckDB, however many rows there are.

The counts are DuckDB's own aggregates, grouped by file, so memory does not grow with the rows, and the counts of
partitions can be kept and added up. They are the counts that :func:`include.training.column_profile.count_like` gives,
but for NaN, which the training part cannot tell from null: here it is ``not_finite``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import pyarrow as pa

from include.lake.connections import quote_name
from include.training.column_profile import bin_count, count_like, from_vector, merge

Document = dict[str, Any]
_GREATEST: Final = 1.7976931348623157e308


@dataclass(frozen=True)
class Counts:
    """Counts of some rows.

    :param rows: number of rows.
    :param columns: by column of the reference: its profile over the reference's bins.
    """

    rows: int
    columns: dict[str, Document]


def nothing(reference: Mapping[str, Any]) -> Counts:
    """The counts of no rows."""
    return Counts(0, {name: count_like(profile, []) for name, profile in reference.items()})


def add_up(reference: Mapping[str, Any], parts: Iterable[Counts]) -> Counts:
    """The counts of all parts together."""
    total = nothing(reference)
    for part in parts:
        columns = {name: merge(total.columns[name], part.columns[name]) for name in reference}
        total = Counts(total.rows + part.rows, columns)
    return total


def count_rows(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    group: str,
    columns: Mapping[str, str],
    reference: Mapping[str, Any],
    parameters: Sequence[object] = (),
) -> dict[str, Counts]:
    """Count the rows of a relation by group; a group without rows is not there.

    :param relation: SQL of what is read: a view's quoted name or a table function's call.
    :param group: SQL by which the counts are kept apart.
    :param columns: by column of the reference: SQL of its values.
    :param reference: column profiles.
    :param parameters: values of the relation's question marks.
    """
    joins, selected, owners = [], ["count(*)"], []
    for place, (name, value) in enumerate(columns.items()):
        profile = reference[name]
        if profile["type"] == "category":
            view = quote_name(f"categories_{place}")
            connection.register(f"categories_{place}", _categories(profile))
            joins.append(f"LEFT JOIN {view} ON {view}.value = {value}")
            code = f"{view}.code"
        else:
            code = value
        parts = _aggregates(profile, code, value)
        owners += [name] * len(parts)
        selected += parts
    query = f"SELECT {group}, {', '.join(selected)} FROM {relation} {' '.join(joins)} GROUP BY 1"  # nosec B608
    return {
        str(row[0]): _read(row, owners, reference) for row in connection.execute(query, list(parameters)).fetchall()
    }


def _categories(profile: Mapping[str, Any]) -> pa.Table:
    """Each known value's place among the bins; rare ones share the place behind them."""
    values, rare = list(profile["values"]), list(profile["rare"])
    codes = [*range(len(values)), *[len(values)] * len(rare)]
    return pa.table({"value": pa.array([*values, *rare], pa.string()), "code": pa.array(codes, pa.float64())})


def _aggregates(profile: Mapping[str, Any], code: str, value: str) -> list[str]:
    """SQL of what is counted: of a boolean two numbers, else a histogram and how many values there are."""
    if profile["type"] == "boolean":
        return [f"count_if({value})", f"count({value})"]
    if profile["type"] == "numeric":
        bounds: Sequence[float] = [-_GREATEST, *profile["edges"], _GREATEST]
    else:
        bounds = [float(place) for place in range(bin_count(profile) + 1)]
    listed = ", ".join(f"{bound!r}::DOUBLE" for bound in bounds)
    return [f"map_values(histogram({code}::DOUBLE, [{listed}]))", f"count({value})"]


def _read(row: tuple[Any, ...], owners: Sequence[str], reference: Mapping[str, Any]) -> Counts:
    rows = int(row[1])
    found: dict[str, list[Any]] = {}
    for name, value in zip(owners, row[2:], strict=True):
        found.setdefault(name, []).append(value)
    columns = {
        name: from_vector(reference[name], _vector(reference[name], first, int(present), rows))
        for name, (first, present) in found.items()
    }
    return Counts(rows, columns)


def _vector(profile: Mapping[str, Any], counted: Any, present: int, rows: int) -> list[int]:
    """The counts in the order of :func:`include.training.column_profile.to_vector`."""
    missing = rows - present
    if profile["type"] == "boolean":
        return [present - int(counted), int(counted), missing]
    size = bin_count(profile)
    bins = [int(count) for count in counted or []]
    if profile["type"] == "category":
        known = bins[: size + 1] or [0] * (size + 1)
        return [*known, present - sum(known), missing]
    # The first bin holds what is below every number (and NaN), the one behind the last what is above.
    within = bins[1 : size + 1] or [0] * size
    return [*within, missing, present - sum(within)]
