"""The arithmetic of ``make bench-line``: no second of a run is lost, and each is in the part where it belongs."""

from __future__ import annotations

import pytest

from tests.bench.line.through_airflow import marks
from tests.bench.line.timing import StepTimes, TaskTimes, middle, split_calls, split_run, totals

RESOLVE = TaskTimes(task="resolve_as_of", start=101.0, end=101.5)
TRAIN = TaskTimes(task="train", start=102.0, forked=102.25, began=102.5, done=106.5, end=107.0)


def test_a_runs_time_is_split_into_its_parts() -> None:
    rows = split_run([TRAIN, RESOLVE], asked=100.0, ended=107.5)
    assert rows == {
        "resolve_as_of": {"scheduling": 1.0, "process start": 0.0, "import": 0.0, "work": 0.5, "ending": 0.0},
        "train": {"scheduling": 0.5, "process start": 0.25, "import": 0.25, "work": 4.0, "ending": 0.5},
        "(end of the run)": {"scheduling": 0.5, "process start": 0.0, "import": 0.0, "work": 0.0, "ending": 0.0},
    }
    assert totals(rows)["all"] == 7.5


def test_what_runs_side_by_side_counts_once() -> None:
    beside = TaskTimes(task="gate", start=103.0, forked=103.5, began=104.0, done=105.0, end=108.0)
    rows = split_run([RESOLVE, TRAIN, beside], asked=100.0, ended=108.0)
    assert totals(rows)["all"] == 8.0
    assert rows["gate"] == {"scheduling": 0.0, "process start": 0.0, "import": 0.0, "work": 0.0, "ending": 1.0}


def test_calls_of_one_command_are_split_into_the_same_parts() -> None:
    steps = [
        StepTimes(task="assemble", called=11.0, began=14.0, done=16.0),
        StepTimes(task="train", called=16.5, began=16.5, done=20.5),
    ]
    rows = split_calls(steps, launched=10.0, exited=21.0)
    expected = {"scheduling": 0.5, "process start": 1.0, "import": 3.0, "work": 6.0, "ending": 0.5, "all": 11.0}
    assert totals(rows) == expected


def test_the_middle_run_is_a_run_that_was_and_of_two_the_faster_one() -> None:
    runs = [split_run([RESOLVE], asked=100.0, ended=ended) for ended in (109.0, 102.0, 105.0)]
    assert totals(middle(runs))["all"] == 5.0
    assert totals(middle(runs[:2]))["all"] == 2.0


def test_a_tasks_log_tells_when_its_step_began_and_was_done() -> None:
    said = (
        "Task started",
        "step train runs as process 12, forked by the warm parent (try x)",
        "train of flight_delay as of 2013-12-18T00:00:00-05:00 starts (try x)",
        "round 7 is the best",
        "train of flight_delay done in 2.0 s",
    )
    lines = [{"event": event, "timestamp": f"1970-01-01T00:00:0{second}Z"} for second, event in enumerate(said)]
    assert marks(lines) == {"forked": 1.0, "began": 2.0, "done": 4.0}
    assert marks(lines[:1]) == {}


@pytest.mark.parametrize("missing", ["forked", "began", "done"])
def test_a_task_that_did_not_tell_all_is_work(missing: str) -> None:
    times = {"forked": 102.25, "began": 102.5, "done": 106.5, missing: None}
    rows = split_run([TaskTimes(task="train", start=102.0, end=107.0, **times)], asked=101.0, ended=107.0)
    assert rows["train"]["work"] == 5.0
