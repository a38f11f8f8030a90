"""Judges many small frames by one suite: what holds for all rows at once holds for each frame.

Great Expectations costs tens of milliseconds a frame however few rows it has, which is minutes for the 1,440 hours of
sixty days. An expectation on each row does not care which frame a row is in. So the rows of many frames are looked at
at once, and only frames with a row that does not meet it are judged by themselves. So are expectations on a whole
frame, such as its mean; those on its number of rows are judged once for each number. A test compares both ways.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from include.gates.engine import Evaluator
from include.gates.plain import to_plain
from include.gates.result import Check, GateResult
from include.gates.suite import Expectation

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_ROWS_AT_ONCE: Final = 50_000
_LARGE: Final = 5_000
_ROWS_IN_MEMORY: Final = 200_000
_FRAMES_IN_MEMORY: Final = 2_000
_UNIQUE: Final = "expect_column_values_to_be_unique"
_COUNTS: Final = ("expect_table_row_count_to_be_between", "expect_table_row_count_to_equal")
_NULLS: Final = ("expect_column_values_to_not_be_null", "expect_column_values_to_be_null")


def judge_each(evaluator: Evaluator, frames: Mapping[str, pa.Table], identify: Sequence[str]) -> list[GateResult]:
    """Judge each frame alone, in the mapping's order; the results are those of :meth:`Evaluator.judge`.

    :param frames: by subject, as Arrow tables: most need never become a frame.
    :param identify: columns that tell a reader which row it is (the entity).
    :raises GateBroken: if an expectation could not be evaluated.
    """
    results: list[GateResult] = []
    for batch in _batches(frames):
        if len(batch) == 1:
            [(subject, frame)] = batch.items()
            results.append(evaluator.judge(frame.to_pandas(), subject=subject, identify=identify))
        else:
            results += _Together(evaluator, batch).judge(identify)
    return results


def at_once(items: Sequence[Any], rows: Sequence[int]) -> Iterator[list[Any]]:
    """Items in groups whose rows may be in memory at the same time.

    :param rows: of each item.
    """
    group: list[Any] = []
    there = 0
    for item, own in zip(items, rows, strict=True):
        if group and (there + own > _ROWS_IN_MEMORY or len(group) == _FRAMES_IN_MEMORY):
            yield group
            group, there = [], 0
        group.append(item)
        there += own
    if group:
        yield group


def _batches(frames: Mapping[str, pa.Table]) -> Iterator[dict[str, pa.Table]]:
    """Small frames with equal columns together; large ones alone."""
    batch: dict[str, pa.Table] = {}
    rows, columns = 0, None
    for subject, frame in frames.items():
        own = frame.column_names
        if batch and (own != columns or len(frame) > _LARGE or rows + len(frame) > _ROWS_AT_ONCE):
            yield batch
            batch, rows = {}, 0
        batch[subject] = frame
        rows, columns = rows + len(frame), own
    if batch:
        yield batch


class _Together:
    """Frames of equal columns, and all their rows in one."""

    def __init__(self, evaluator: Evaluator, frames: Mapping[str, pa.Table]) -> None:
        import numpy as np
        import pyarrow as pa

        self._evaluator = evaluator
        self._frames = frames
        self._subjects = list(frames)
        self._rows: pd.DataFrame = pa.concat_tables(frames.values(), promote_options="permissive").to_pandas()
        self._frame_of = np.repeat(np.arange(len(frames)), [frame.num_rows for frame in frames.values()])
        self._counted: dict[int, dict[int, Check]] = {}

    def judge(self, identify: Sequence[str]) -> list[GateResult]:
        common = [number for number, one in enumerate(self._evaluator.suite.expectations) if self._can_share(one)]
        suspects = {number: self._suspects(number) for number in common}
        judged = {number: self._judged(self._evaluator.suite.expectations[number]) for number in common}
        results = []
        for index, (subject, frame) in enumerate(self._frames.items()):
            alone = any(index in suspects[number] for number in common)
            known = {} if alone else {number: self._passed(number, int(judged[number][index])) for number in common}
            results.append(self._result(subject, frame, known, identify))
        return results

    def _result(self, subject: str, frame: pa.Table, known: dict[int, Check], identify: Sequence[str]) -> GateResult:
        """A frame's result, with what is known of it already."""
        known |= self._counted.get(frame.num_rows, {})
        if len(known) == len(self._evaluator.suite.expectations):
            return self._evaluator.result(subject, frame.num_rows, known)
        result = self._evaluator.judge(frame.to_pandas(), subject=subject, identify=identify, known=known)
        counts = {number: check for number, check in enumerate(result.checks) if check.type in _COUNTS}
        self._counted.setdefault(frame.num_rows, counts)
        return result

    def _can_share(self, expectation: Expectation) -> bool:
        """Whether it is about each value of one column that is there."""
        present = all(column in self._rows.columns for column in expectation.columns)
        return present and expectation.form.kind == "rows" and "column" in expectation.kwargs

    def _suspects(self, number: int) -> set[int]:
        """Frames that may hold a row that does not meet it."""
        expectation = self._evaluator.suite.expectations[number]
        if expectation.type == _UNIQUE:
            values = self._rows[expectation.columns[0]]
            twins = self._rows.assign(_frame=self._frame_of).duplicated([expectation.columns[0], "_frame"])
            return set(self._frame_of[(twins & values.notna()).to_numpy()].tolist())
        bad = self._evaluator.unexpected(number, self._rows, tolerated=True)
        return set(self._frame_of[bad].tolist())

    def _judged(self, expectation: Expectation) -> Any:
        """For each frame the number of rows on which it is judged."""
        import numpy as np

        counted = np.ones(len(self._rows)) if expectation.type in _NULLS else self._rows[expectation.columns[0]].notna()
        return np.bincount(self._frame_of, weights=counted, minlength=len(self._subjects))

    def _passed(self, number: int, judged: int) -> Check:
        expectation = self._evaluator.suite.expectations[number]
        return Check(
            type=expectation.type,
            column=", ".join(expectation.columns) or None,
            kwargs=to_plain(expectation.kwargs),
            severity=expectation.severity,
            notes=expectation.notes,
            success=True,
            unexpected=0,
            judged=judged,
        )
