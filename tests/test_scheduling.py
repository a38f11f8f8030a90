"""A run of tests in two workers, one of which dies: it ends, and every other test is run, once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from include.settings import PROJECT

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
    command = [
        "-m",
        "pytest",
        "-q",
        "-rA",
        "-p",
        "no:cacheprovider",
        "-p",
        "tests.scheduling",
        "-n",
        "2",
        "--dist",
        "loadfile",
    ]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [sys.executable, *command, *options, "."],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
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
