"""How a draft cuts the sample's time: partitions that hold some rows each, and windows that fit into its span."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from include.drafting.sample import TABLE, Column, Sample, SampleUnusable
from include.lake.connections import quote_name, quote_text
from include.spec.definition import PartitionSize
from include.spec.duration import format_duration

_FEWEST_PARTITIONS: Final = 8
_ROWS_OF_A_DAY: Final = 5
_FEWEST_ROWS: Final = 200
WHOLE_PARTS: Final = {"validation": "15%", "holdout": "20%"}
"""How a sample without time is split, as it is written."""
_STEPS: Final[dict[PartitionSize, timedelta]] = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "month": timedelta(days=1),
}


@dataclass(frozen=True, kw_only=True)
class Cut:
    """The sample's time, cut.

    :param starts: first day.
    :param ends: last day.
    :param rows: of the smallest and the largest partition between the two that the ends cut off; of a table from which
        a part was drawn about as many.
    :param window: length of the training part; the other two likewise.
    """

    size: PartitionSize
    starts: date
    ends: date
    rows: tuple[int, int]
    window: timedelta
    validation: timedelta
    holdout: timedelta
    known_after: timedelta

    @property
    def windows(self) -> dict[str, str]:
        """As they are written."""
        parts = {"window": self.window, "validation": self.validation, "holdout": self.holdout}
        return {name: _plain(length) for name, length in parts.items()}


def check_size(sample: Sample) -> None:
    """Whether a sample without time has rows enough to be split; there is nothing to cut.

    :raises SampleUnusable: if not.
    """
    if sample.rows < _FEWEST_ROWS:
        problem = f"it has no column with times, and its {sample.rows} rows are too few to be split"
        raise SampleUnusable(sample.shown, problem, f"Give a sample of at least {_FEWEST_ROWS} rows.")


def cut_time(sample: Sample, time: Column) -> Cut:
    """Cut it into days if they hold rows enough, else into months; a short span into hours.

    :raises SampleUnusable: if the span is too short for windows.
    """
    low, high = time.low, time.high
    span = high - low
    size = _size(sample, span)
    step = _STEPS[size]
    partitions = _partitions(sample, time, size)
    if len(partitions) < _FEWEST_PARTITIONS:
        problem = f"its rows lie in {len(partitions)} {size}s, from {low} to {high}"
        raise SampleUnusable(sample.shown, problem, f"Give a sample of at least {_FEWEST_PARTITIONS}.")
    known_after = step
    # Whole days of the source, so that windows of days start at midnight; of hours, what lies between the ends.
    usable = (span // step) * step - known_after
    if size != "hour":
        usable = timedelta(days=(high.date() - low.date()).days + 1) - known_after
    holdout = max(step, usable // 6 // step * step)
    validation = max(step, usable // 12 // step * step)
    inner = partitions[1:-1] or partitions
    scale = sample.rows_there / sample.rows
    return Cut(
        size=size,
        starts=low.date(),
        ends=high.date(),
        rows=(int(min(inner) * scale), math.ceil(max(inner) * scale)),
        window=(usable - holdout - validation) // step * step,
        validation=validation,
        holdout=holdout,
        known_after=known_after,
    )


def _size(sample: Sample, span: timedelta) -> PartitionSize:
    days = max(span / timedelta(days=1), 1 / 24)
    if days < _FEWEST_PARTITIONS:
        return "hour"
    return "day" if sample.rows_there / days >= _ROWS_OF_A_DAY else "month"


def _partitions(sample: Sample, time: Column, size: PartitionSize) -> list[int]:
    """Rows of each partition that has any, oldest first."""
    label = f"date_trunc({quote_text(size)}, {quote_name(time.name)})"
    found = sample.ask(f"SELECT count(*) FROM {TABLE} GROUP BY {label} ORDER BY {label}")  # nosec B608
    return [int(rows) for (rows,) in found]


def _plain(length: timedelta) -> str:
    """Days rather than weeks, as windows are usually written."""
    days = length // timedelta(days=1)
    return f"{days}d" if days and length == timedelta(days=days) else format_duration(length)
