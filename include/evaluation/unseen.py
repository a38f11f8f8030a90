"""Which of the holdout's rows a registered version has not seen, by the windows that it was registered with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.evaluation.fairness import Fairness, judge_fairness, judge_places, seen_windows, split_otherwise
from include.evaluation.holdout import Holdout
from include.lake.places import row_places, split_columns
from include.spec.definition import Definition
from include.spec.partitions import PartitionCalendar


def judge_unseen(definition: Definition, holdout: Holdout, version: int, windows: Mapping[str, Any]) -> Fairness:
    """The rows that a version was neither trained nor validated on, and whether they are enough to judge it.

    :param version: its number, for the reason.
    :param windows: its registered ones.
    :raises WindowsUnknown: if they cannot be read.
    """
    if definition.source.event_time is None:
        places = row_places(definition, holdout.frame[split_columns(definition)])
        by = ", ".join(split_columns(definition))
        return judge_places(definition.task, places, holdout.labels, windows, by=by, version=version)
    if by := windows.get("train", {}).get("by"):
        return split_otherwise(len(holdout.frame), version=version, was=by)
    calendar = PartitionCalendar.of(definition)
    seen = [(calendar.local(window.start), calendar.local(window.end)) for window in seen_windows(version, windows)]
    times = holdout.event_times(definition.source.event_time)
    return judge_fairness(definition.task, times, holdout.labels, seen, version=version)
