"""Where a run's time goes: pure arithmetic on instants, in seconds since the epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

PARTS: Final = ("scheduling", "process start", "import", "work", "ending")
Row = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class TaskTimes:
    """One task instance of a run.

    :param start: when its process told Airflow that it runs.
    :param end: when Airflow had its final state; equal to ``start`` for a task that never ran.
    :param forked: when the step's own process was there; None for a task that is no step.
    :param began: when the step's function began, imports behind it.
    :param done: when the step's function was done.
    """

    task: str
    start: float
    end: float
    forked: float | None = None
    began: float | None = None
    done: float | None = None


@dataclass(frozen=True, kw_only=True)
class StepTimes:
    """One step in a process that calls all of them: when it was called, when its function began, when it was done."""

    task: str
    called: float
    began: float
    done: float


def split_run(tasks: Sequence[TaskTimes], asked: float, ended: float) -> dict[str, Row]:
    """Seconds by task and part; all of them together are the time from ``asked`` to ``ended``.

    Scheduling is the time in which no task ran: of each task since the last end before it, and at the run's end, in the
    row ``(end of the run)``. Of a task that is no step, all that it does itself is work.

    :param asked: when the run was asked for.
    :param ended: when Airflow had noticed its end.
    """
    rows: dict[str, Row] = {}
    latest = asked
    for task in sorted(tasks, key=lambda one: (one.start, one.end)):
        begin = max(task.start, latest)  # what ran beside another task counts once
        end = max(task.end, begin)
        rows[task.task] = {"scheduling": begin - latest, **_of_task(task, begin, end)}
        latest = end
    rows["(end of the run)"] = {**dict.fromkeys(PARTS, 0.0), "scheduling": ended - latest}
    return rows


def _of_task(task: TaskTimes, begin: float, end: float) -> Row:
    if task.forked is None or task.began is None or task.done is None:
        return {"process start": 0.0, "import": 0.0, "work": end - begin, "ending": 0.0}
    marks = [begin, task.forked, task.began, task.done, end]
    marks = [min(max(mark, begin), end) for mark in marks]
    return dict(zip(PARTS[1:], (later - one for one, later in pairwise(marks)), strict=True))


def split_calls(steps: Sequence[StepTimes], launched: float, exited: float) -> dict[str, Row]:
    """The same for steps that one command calls, in one process or in many.

    Scheduling is what lies between two steps; what lies before the first is in the row ``(start)``, as process start,
    and what lies after the last in ``(end)``, as ending.
    """
    rows = {"(start)": {**dict.fromkeys(PARTS, 0.0), "process start": steps[0].called - launched}}
    latest = steps[0].called
    for step in steps:
        rows[step.task] = {
            **dict.fromkeys(PARTS, 0.0),
            "scheduling": step.called - latest,
            "import": step.began - step.called,
            "work": step.done - step.began,
        }
        latest = step.done
    rows["(end)"] = {**dict.fromkeys(PARTS, 0.0), "ending": exited - latest}
    return rows


def totals(rows: Mapping[str, Row]) -> Row:
    """Seconds of each part, and of all in ``all``."""
    parts = {part: sum(row[part] for row in rows.values()) for part in PARTS}
    return {**parts, "all": sum(parts.values())}


def middle(runs: Sequence[dict[str, Row]]) -> dict[str, Row]:
    """The run in the middle by its whole time: of an even number the faster one of both."""
    return sorted(runs, key=lambda rows: totals(rows)["all"])[(len(runs) - 1) // 2]
