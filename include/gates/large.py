"""Judges rows that are too many for one frame: the results are those of :meth:`Evaluator.judge` on all of them.

What an expectation on each row needs are counts, and counts of batches add up: Great Expectations counts each batch,
and judges the sums. Numbers of a whole column come from batches, too (sums, moments, extremes); what needs all values
at once (twins, distinct values, the median) from DuckDB, which spills. Great Expectations' own expectation judges all
of them. Exact but for means, sums and standard deviations of floating numbers, whose last digits depend on the order
of additions; that order is fixed, so the same rows give the same digits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from include.gates.checks import SAMPLES, absent_check
from include.gates.engine import Evaluator
from include.gates.moments import Moments
from include.gates.plain import to_plain
from include.gates.result import Check, GateResult
from include.gates.rows_on_disk import RowsOnDisk
from include.lake.connections import query_table, quote_name

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

LARGE_ROWS: Final = 500_000
"""From so many rows on, they are not read into one frame."""
_ROWS_AT_ONCE: Final = 100_000
_TWINS: Final = ("expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique")
_SETS: Final = "expect_column_distinct_values_"
_NUMBER: Final = "n__"

Connect = Callable[[Sequence[Any]], "duckdb.DuckDBPyConnection"]
"""Opens DuckDB; given the folders that it may read."""


def judge_rows(evaluator: Evaluator, rows: RowsOnDisk, connect: Connect, *, identify: Sequence[str]) -> GateResult:
    """Judge rows, in one frame if they are few enough.

    :param identify: columns that tell a reader which row it is.
    :raises GateBroken: if a file cannot be read, or an expectation could not be evaluated.
    """
    if rows.count > LARGE_ROWS:
        with connect([path.parent for path in rows.files]) as connection:
            return _Large(evaluator, rows, connection).judge(identify)
    frame = rows.frame([*evaluator.suite.columns, *identify])
    return evaluator.judge(frame, subject=rows.subject, identify=identify)


class _Large:
    def __init__(self, evaluator: Evaluator, rows: RowsOnDisk, connection: duckdb.DuckDBPyConnection) -> None:
        self._evaluator = evaluator
        self._rows = rows
        self._connection = connection

    def judge(self, identify: Sequence[str]) -> GateResult:
        rows, evaluator = self._rows, self._evaluator
        checks: dict[int, Check] = {}
        present = []
        for number, expectation in enumerate(evaluator.suite.expectations):
            absent = [column for column in expectation.columns if column not in rows.columns]
            if absent:
                checks[number] = absent_check(expectation, absent)
            else:
                present.append(number)
        self._floats = self._whole_with_nulls()
        metrics = self._counted([number for number in present if not self._needs_all(number)])
        for number in present:
            named = metrics[number] if number in metrics else self._of_all(number)
            checks[number] = evaluator.conclude(number, named, rows.subject)
        named_columns = [name for name in identify if name in rows.columns]
        for number in present:
            if not checks[number].success:
                checks[number] = self._with_details(number, checks[number], named_columns)
        return evaluator.result(rows.subject, rows.count, checks)

    def _type(self, number: int) -> str:
        return self._evaluator.suite.expectations[number].type

    def _needs_all(self, number: int) -> bool:
        """Whether it is not made of what batches say."""
        kind = self._type(number)
        counted = kind in _TWINS or kind.startswith(_SETS)
        return counted or "median" in kind or "unique" in kind

    def _whole_with_nulls(self) -> list[str]:
        """Columns of whole numbers that have a null: a frame of all rows would hold them as floating numbers."""
        whole = [name for name in self._evaluator.suite.columns if self._rows.columns.get(name, "").startswith("int")]
        if not whole:
            return []
        counts = ", ".join(f"count(*) - count({quote_name(name)})" for name in whole)
        [nulls] = self._connection.execute(f"SELECT {counts} FROM {self._rows.sql(whole)}").fetchall()  # nosec B608
        return [name for name, missing in zip(whole, nulls, strict=True) if missing]

    def _counted(self, numbers: Sequence[int]) -> dict[int, dict[str, Any]]:
        """Metrics of expectations whose counts, or moments, add up over batches."""
        suite = self._evaluator.suite
        moments = {n: Moments(suite.expectations[n]) for n in numbers if suite.expectations[n].form.kind == "column"}
        counted = tuple(number for number in numbers if number not in moments)
        totals: dict[int, dict[str, Any]] = {number: {} for number in counted}
        columns = [column for number in numbers for column in suite.expectations[number].columns]
        for frame in self._rows.batches(columns, _ROWS_AT_ONCE, floats=self._floats):
            for number, one in moments.items():
                with self._evaluator.said_broken(number, self._rows.subject):
                    one.add(frame[suite.expectations[number].columns[0]])
            if counted:
                measured = self._evaluator.measure(counted, frame, self._rows.subject)
                for number, named in measured.items():
                    totals[number] = _added(totals[number], named)
        return totals | {number: one.metrics() for number, one in moments.items()}

    def _of_all(self, number: int) -> dict[str, Any]:
        """Metrics of an expectation that looks at all values at once."""
        expectation = self._evaluator.suite.expectations[number]
        if expectation.type in _TWINS:
            return self._twins(number)
        [column] = expectation.columns
        name, relation = quote_name(column), self._rows.sql([column])
        with self._evaluator.said_broken(number, self._rows.subject):
            if expectation.type.startswith(_SETS):
                return self._evaluator.measure((number,), self._distinct(number), self._rows.subject)[number]
            if "median" in expectation.type:
                return {"column.median": self._median(name, relation)}
            grouped = f"SELECT {name}, count(*) AS n FROM {relation} WHERE {name} IS NOT NULL GROUP BY 1"  # nosec B608
            [[distinct, there]] = self._connection.execute(
                f"SELECT count(*), coalesce(sum(n), 0) FROM ({grouped})"  # nosec B608
            ).fetchall()
        if "proportion" in expectation.type:
            return {"column.unique_proportion": distinct / int(there) if there else 0}
        return {"column.distinct_values.count": int(distinct)}

    def _distinct(self, number: int) -> pd.DataFrame:
        """A frame with each value of its column once."""
        [column] = self._evaluator.suite.expectations[number].columns
        query = f"SELECT {quote_name(column)} FROM {self._rows.sql([column])} GROUP BY 1 ORDER BY 1"  # nosec B608
        frame: pd.DataFrame = query_table(self._connection, query).to_pandas()
        return frame

    def _median(self, name: str, relation: str) -> float:
        """The middle value, or the mean of both: by sorting, which DuckDB does on disk if it must."""
        [[count]] = self._connection.execute(f"SELECT count({name}) FROM {relation}").fetchall()  # nosec B608
        if not count:
            return float("nan")
        skipped, taken = (count - 1) // 2, 2 - count % 2
        query = f"SELECT {name} FROM {relation} WHERE {name} IS NOT NULL ORDER BY 1 LIMIT {taken} OFFSET {skipped}"  # nosec B608
        values = [float(value) for [value] in self._connection.execute(query).fetchall()]
        return sum(values) / len(values)

    def _twins(self, number: int) -> dict[str, Any]:
        """Rows whose values another row has, too."""
        expectation = self._evaluator.suite.expectations[number]
        columns, condition = list(expectation.columns), self._looked_at(number)
        names, relation = ", ".join(map(quote_name, columns)), self._rows.sql(list(expectation.columns))
        grouped = f"SELECT count(*) AS n FROM {relation} WHERE {condition} GROUP BY {names}"  # nosec B608
        with self._evaluator.said_broken(number, self._rows.subject):
            [[twins, judged]] = self._connection.execute(
                f"SELECT coalesce(sum(n) FILTER (WHERE n > 1), 0), coalesce(sum(n), 0) FROM ({grouped})"  # nosec B608
            ).fetchall()
        counts = {"table.row_count": self._rows.count}
        if expectation.type == _TWINS[0]:
            nulls = self._rows.count - int(judged)
            counts |= {"column_values.nonnull.unexpected_count": nulls}
            return counts | {"column_values.unique.unexpected_count": int(twins)}
        counts |= {"compound_columns.unique.filtered_row_count": int(judged)}
        return counts | {"compound_columns.unique.unexpected_count": int(twins)}

    def _looked_at(self, number: int) -> str:
        """The condition of the rows that are judged: which are left out for what they lack."""
        expectation = self._evaluator.suite.expectations[number]
        there = [f"{quote_name(column)} IS NOT NULL" for column in expectation.columns]
        rule = expectation.kwargs.get("ignore_row_if", "all_values_are_missing")
        if rule == "never":
            return "true"
        return f"({(' AND ' if rule == 'any_value_is_missing' else ' OR ').join(there)})"

    def _with_details(self, number: int, check: Check, identify: Sequence[str]) -> Check:
        """Add the rows or values that do not meet a failed expectation."""
        expectation = self._evaluator.suite.expectations[number]
        shown = list(dict.fromkeys([*identify, *expectation.columns]))
        if expectation.type.startswith(_SETS):
            return self._evaluator.with_details(number, check, self._distinct(number), [])
        if expectation.form.kind != "rows":
            return check
        found = self._first_twins(number, shown) if expectation.type in _TWINS else self._first_bad(number, shown)
        return self._evaluator.with_samples(check, found)

    def _first_bad(self, number: int, shown: Sequence[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for frame in self._rows.batches(shown, _ROWS_AT_ONCE, floats=self._floats):
            bad = self._evaluator.unexpected(number, frame, tolerated=True)
            found += _records(frame.loc[bad[: SAMPLES - len(found)]], shown)
            if len(found) == SAMPLES:
                break
        return found

    def _first_twins(self, number: int, shown: Sequence[str]) -> list[dict[str, Any]]:
        columns = self._evaluator.suite.expectations[number].columns
        relation, condition = self._rows.sql(shown), self._looked_at(number)
        names = ", ".join(map(quote_name, columns))
        same = " AND ".join(f"r.{quote_name(name)} IS NOT DISTINCT FROM t.{quote_name(name)}" for name in columns)
        twins = f"SELECT {names} FROM {relation} WHERE {condition} GROUP BY {names} HAVING count(*) > 1"  # nosec B608
        query = (
            f"SELECT r.* FROM (SELECT *, row_number() OVER () AS {_NUMBER} FROM {relation}) r SEMI JOIN ({twins}) t "  # nosec B608
            f"ON {same} ORDER BY {_NUMBER} LIMIT {SAMPLES}"
        )
        frame = query_table(self._connection, query).to_pandas()
        return _records(frame.astype({name: "float64" for name in self._floats if name in frame.columns}), shown)


def _records(frame: pd.DataFrame, shown: Sequence[str]) -> list[dict[str, Any]]:
    return [{name: to_plain(row[name]) for name in shown} for row in frame[list(shown)].to_dict("records")]


def _added(total: Mapping[str, Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """Counts of one more batch added; what is no count, such as the names of columns, is the same in all."""
    return {name: total.get(name, 0) + value if _is_count(value) else value for name, value in named.items()}


def _is_count(value: Any) -> bool:
    return not isinstance(value, list | dict | tuple)
