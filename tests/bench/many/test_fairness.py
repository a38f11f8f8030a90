"""The arithmetic of ``make bench-many``."""

from __future__ import annotations

from tests.bench.many.fairness import Ran, breaches, judge, most_at_once, most_in_pools


def ran(model: str, task: str, start: float, end: float, pool: str = "default_pool") -> Ran:
    return Ran(model=model, task=task, pool=pool, start=start, end=end)


ONE_BY_ONE = [
    ran("a", "assemble", 1, 2),
    ran("a", "train", 3, 6, "noria_training"),
    ran("b", "assemble", 6, 7),
    ran("b", "train", 7, 10, "noria_training"),
    ran("c", "assemble", 10, 11),
    ran("c", "train", 11, 14, "noria_training"),
]


def test_runs_one_after_the_other() -> None:
    found = judge(ONE_BY_ONE, due=0)
    assert found.finished == (6, 10, 14)
    assert found.waited == (1, 6, 10)
    assert found.open_for == (4, 4, 5)
    assert found.longest_pause == 1
    assert found.most_open == 1


def test_runs_that_are_all_begun_before_any_is_finished() -> None:
    tasks = [
        *(ran(model, "assemble", start, start + 1) for start, model in enumerate("abc")),
        *(ran(model, "train", 3 + 3 * start, 6 + 3 * start) for start, model in enumerate("abc")),
    ]
    found = judge(tasks, due=0)
    assert found.finished == (6, 9, 12)
    assert (found.longest_pause, found.paused_before) == (6, "train")
    assert found.most_open == 3


def test_a_pause_is_none_while_another_task_of_the_run_goes_on() -> None:
    tasks = [ran("a", "long", 0, 10), ran("a", "short", 1, 2), ran("a", "last", 12, 13)]
    found = judge(tasks, due=0)
    assert (found.longest_pause, found.paused_before) == (2, "last")


def test_a_run_that_never_waited_paused_before_nothing() -> None:
    found = judge([ran("a", "train", 0, 10)], due=0)
    assert (found.longest_pause, found.paused_before) == (0, "")


def test_how_many_ran_at_once_in_each_pool_and_which_pool_had_too_many() -> None:
    tasks = [*ONE_BY_ONE, ran("d", "train", 5, 8, "noria_training")]
    most = most_in_pools(tasks)
    assert most == {"": 2, "default_pool": 1, "noria_training": 2}
    assert breaches(most, {"default_pool": 128, "noria_training": 1}) == ["noria_training"]


def test_what_ends_when_another_starts_is_not_at_once_with_it() -> None:
    assert most_at_once([(0, 1), (1, 2), (1, 3)]) == 2
    assert most_at_once([]) == 0
