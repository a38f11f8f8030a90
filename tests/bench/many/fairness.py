"""How fairly many runs shared a machine: pure arithmetic on their task instances, in seconds since the epoch."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A task instance that ran."""

    model: str
    task: str
    pool: str
    start: float
    end: float


@dataclass(frozen=True, kw_only=True)
class Fairness:
    """Seconds since all runs were due.

    :param finished: the first, the middle and the last run's end.
    :param waited: until a run's first task started: the shortest, middle and longest wait.
    :param open_for: between the start of a run's first and the end of its last task: shortest, middle, longest.
    :param longest_pause: the longest time in which a run that had begun had no task running,
    :param paused_before: and the task that it then waited for; empty if no run ever waited.
    :param most_open: how many runs were begun and not finished at one time, at most.
    """

    finished: tuple[float, float, float]
    waited: tuple[float, float, float]
    open_for: tuple[float, float, float]
    longest_pause: float
    paused_before: str
    most_open: int


def judge(tasks: Iterable[Ran], due: float) -> Fairness:
    """What the task instances of all runs say."""
    runs: dict[str, list[Ran]] = {}
    for task in sorted(tasks, key=lambda one: one.start):
        runs.setdefault(task.model, []).append(task)
    starts = {model: each[0].start for model, each in runs.items()}
    ends = {model: max(task.end for task in each) for model, each in runs.items()}
    longest_pause, paused_before = max(_longest_pause(each) for each in runs.values())
    return Fairness(
        finished=_spread([end - due for end in ends.values()]),
        waited=_spread([start - due for start in starts.values()]),
        open_for=_spread([ends[model] - starts[model] for model in runs]),
        longest_pause=longest_pause,
        paused_before=paused_before,
        most_open=most_at_once([(starts[model], ends[model]) for model in runs]),
    )


def most_in_pools(tasks: Iterable[Ran]) -> dict[str, int]:
    """Of each pool how many tasks ran at one time, at most; of all of them under the empty name."""
    pools: dict[str, list[tuple[float, float]]] = {"": []}
    for task in tasks:
        pools.setdefault(task.pool, []).append((task.start, task.end))
        pools[""].append((task.start, task.end))
    return {pool: most_at_once(spans) for pool, spans in pools.items()}


def breaches(most: Mapping[str, int], slots: Mapping[str, int]) -> list[str]:
    """Pools in which more ran than they have slots."""
    return [pool for pool, count in most.items() if pool in slots and count > slots[pool]]


def most_at_once(spans: Iterable[tuple[float, float]]) -> int:
    """How many spans overlap, at most; one that ends when another starts does not overlap with it."""
    changes = sorted(change for start, end in spans for change in ((end, -1), (start, 1)))
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def _longest_pause(tasks: Sequence[Ran]) -> tuple[float, str]:
    """Of a run's tasks in the order of their starts; with the task that ended the pause."""
    longest, latest = (0.0, ""), tasks[0].start
    for task in tasks:
        if task.start - latest > longest[0]:
            longest = task.start - latest, task.task
        latest = max(latest, task.end)
    return longest


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    return min(values), statistics.median(values), max(values)
