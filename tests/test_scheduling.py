"""A run of tests in two workers, one of which dies: it ends, and every other test is run, once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from xdist.remote import Producer

from include.settings import PROJECT
from tests.scheduling import FilesForWorkers

PASSES = "def test_{name}(): time.sleep(0.05)\n"
DIES = "def test_{name}(): os._exit(1)\n"
PATIENCE_SECONDS = 120


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


def write(folder: Path, name: str, tests: Sequence[str]) -> None:
    body = "".join(test.format(name=number) for number, test in enumerate(tests))
    (folder / f"test_{name}.py").write_text(f"import os, time\n{body}")


def run(folder: Path, *options: str) -> list[str]:
    """Output of a run: a line for each outcome, then the sum."""
    plugins = ["-p", "no:cacheprovider", "-p", "tests.scheduling"]
    command = [sys.executable, "-m", "pytest", "-q", "-rA", *plugins, "-n", "2", "--dist", "loadfile", *options, "."]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
    )
    return done.stdout.splitlines()


def outcomes(lines: Sequence[str], outcome: str) -> list[str]:
    return sorted(line.split()[1] for line in lines if line.startswith(f"{outcome} "))


def test_a_run_ends_when_a_worker_dies_of_the_last_test(files: Path) -> None:
    for number in range(4):
        write(files, f"long_{number}", [PASSES] * 3)
    write(files, "short", [DIES])
    lines = run(files)
    assert outcomes(lines, "FAILED") == ["test_short.py::test_0"]
    assert len(outcomes(lines, "PASSED")) == 12


def test_files_with_one_test_each_are_run_by_the_worker_that_replaces_a_dead_one(files: Path) -> None:
    write(files, "first", [PASSES, PASSES, DIES, PASSES])
    for number in range(20):
        write(files, f"single_{number:02}", [PASSES])
    lines = run(files)
    assert outcomes(lines, "FAILED") == ["test_first.py::test_2"]
    assert len(outcomes(lines, "PASSED")) == 23


def test_the_test_that_a_worker_died_of_is_not_given_to_the_next_one(files: Path) -> None:
    write(files, "deadly", [PASSES, DIES, PASSES, PASSES])
    lines = run(files, "-n", "1", "--max-worker-restart", "1")
    assert outcomes(lines, "FAILED") == ["test_deadly.py::test_1"]
    assert outcomes(lines, "PASSED") == [f"test_deadly.py::test_{number}" for number in (0, 2, 3)]


def test_the_test_that_a_worker_died_of_is_named_at_once(files: Path) -> None:
    write(files, "deadly", [PASSES, DIES, PASSES])
    lines = run(files)
    named = lines.index("A worker died while it ran test_deadly.py::test_1")
    assert named < next(number for number, line in enumerate(lines) if "FAILURES" in line)


def test_two_workers_that_die_at_once_cost_two_tests(files: Path) -> None:
    for number in range(2):
        write(files, f"deadly_{number}", [PASSES, DIES, PASSES, PASSES, PASSES])
    for number in range(4):
        write(files, f"single_{number}", [PASSES])
    lines = run(files)
    assert outcomes(lines, "FAILED") == ["test_deadly_0.py::test_1", "test_deadly_1.py::test_1"]
    assert len(outcomes(lines, "PASSED")) == 12


class Worker:
    """What the scheduler knows of a worker.

    :param dead: nothing can be sent to it any more, which nobody has noticed yet.
    """

    shutting_down = False
    gateway = SimpleNamespace(id="gw")

    def __init__(self, *, dead: bool = False) -> None:
        self.dead = dead
        self.given: list[int] = []

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        if self.dead:
            raise OSError("cannot send (already closed?)")
        self.given += indices

    def shutdown(self) -> None:
        self.shutting_down = True


def test_what_was_sent_to_a_worker_that_is_dead_already_is_given_to_another() -> None:
    option = SimpleNamespace(loadscopereorder=False)
    config: Any = SimpleNamespace(getvalue=lambda _: ["2*popen"], option=option)
    scheduler, living, dead = FilesForWorkers(config, Producer("test")), Worker(), Worker(dead=True)
    workers: list[Any] = [living, dead]
    for worker in workers:
        scheduler.add_node(worker)
        scheduler.add_node_collection(worker, [f"test_{file}.py::test_{test}" for file in "abcdef" for test in (1, 2)])
    scheduler.schedule()
    assert scheduler.remove_node(workers[1]) == "test_b.py::test_1"
    while len(scheduler.assigned_work[workers[0]]) < 6:
        scheduler.mark_test_complete(workers[0], living.given.pop(0))
    assert 3 in living.given, "the other test of the file"
    assert 2 not in living.given
