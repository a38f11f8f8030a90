"""The warm parent: never old code, never a fork that is not safe, nothing left behind; without it steps start cold."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any

import psutil
import pytest

from include.settings import PROJECT
from include.steps.warm_protocol import READY, WAITING, connect, receive_exactly, socket_path
from plugins.operators.environment import child_environment
from plugins.operators.warm import WarmProcess, fork_step
from tests.plugins.probe_program import started, wait_until_ready, warm_parent


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home whose parent runs the code of a copy of the project, which tests may change."""
    folder = tmp_path_factory.mktemp("home")
    project = folder / "project"
    for room in ("include", "tests/plugins"):
        copytree(PROJECT / room, project / room, ignore=ignore_patterns("__pycache__"))
    with warm_parent(folder, project):
        yield folder


def fork(home: Path, *, threads: int = 1, **inputs: Any) -> WarmProcess | None:
    words = ["probe", "--model", "flight_delay", "--as-of", "2013-10-01T00:00:00-04:00", "--lifeline"]
    environment = {**child_environment(threads, {"PATH": os.environ["PATH"]}), "NORIA_RESULT": str(home / "r.json")}
    return fork_step(home, [*words, "--inputs", json.dumps(inputs)], environment, PROJECT)


def forked(home: Path, **inputs: Any) -> WarmProcess:
    process = fork(home, **inputs)
    assert process is not None, (home / "warm-parent.log").read_text()
    return process


def eventually(condition: Callable[[], object], seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not condition():
        time.sleep(0.05)
    return bool(condition())


def parents(home: Path) -> list[psutil.Process]:
    """The processes that import, of the parent at a home."""
    found = []
    for process in psutil.process_iter():
        try:
            imports = "--forks" in process.cmdline() and "--forks" not in process.parent().cmdline()
            if imports and process.environ().get("NORIA_HOME") == str(home):
                found.append(process)
        except (psutil.Error, AttributeError):
            continue
    return found


def test_without_a_parent_nothing_is_forked(tmp_path: Path) -> None:
    assert fork(tmp_path) is None


def test_only_this_user_may_ask(home: Path) -> None:
    assert stat.S_IMODE(socket_path(home).stat().st_mode) == 0o600


def test_what_it_imports_is_told_not_to_report_home_whoever_starts_it(home: Path) -> None:
    [parent] = parents(home)
    assert child_environment(1, {}).items() - {("PYTHONPATH", str(PROJECT))} <= parent.environ().items()


def test_many_steps_run_at_once_and_each_has_its_own_exit_code(home: Path) -> None:
    kinds = ["refused", "nothing", "again", "defect"] * 3
    steps = [forked(home, sleep=0.2, **{"raise": kind}) for kind in kinds]
    assert [step.wait(60) for step in steps] == [10, 20, 30, 1] * 3


def test_the_streams_hold_only_what_the_step_says(home: Path) -> None:
    step = forked(home, say=["one"])
    said = step.stdout.read().decode()
    assert step.wait(60) == 0
    assert "printed one" in said
    assert "nanobind" not in said


@pytest.mark.parametrize("threads", [1, 2])
def test_a_step_has_as_many_threads_as_its_environment_says(home: Path, threads: int) -> None:
    step = forked(home, threads=threads, pools=True)
    assert step.wait(60) == 0, step.stdout.read().decode()
    pools = json.loads((home / "r.json").read_text())["pools"]
    assert pools, "NumPy is loaded"
    assert set(pools.values()) == {threads}


def test_waiting_has_an_end_and_the_step_runs_on(home: Path) -> None:
    step = forked(home, sleep=60)
    with pytest.raises(subprocess.TimeoutExpired):
        step.wait(0.1)
    assert step.poll() is None
    os.killpg(step.pid, signal.SIGTERM)
    assert step.wait(60) == -signal.SIGTERM


def look(home: Path, program: str, model: str) -> WarmProcess | None:
    words = ["--model", model, "--as-of", "2013-10-01T00:00:00-04:00"]
    environment = {**child_environment(1, {"PATH": os.environ["PATH"]}), "NORIA_HOME": str(home)}
    return fork_step(home, words, environment, PROJECT, program)


def test_a_look_at_what_a_run_waits_for_is_forked_too(home: Path) -> None:
    process = look(home, WAITING, "tumor_malignant")
    assert process is not None
    assert json.loads(process.communicate(60)) == {"missing": ["all"]}
    assert process.wait(60) == 0
    process = look(home, WAITING, "no_such_model")
    assert process is not None
    assert b"no_such_model" in process.communicate(60)
    assert process.wait(60) == 10


def test_no_other_program_is_forked(home: Path) -> None:
    assert look(home, "this", "flight_delay") is None
    assert forked(home).wait(60) == 0


def test_what_takes_too_long_is_ended(home: Path) -> None:
    step = forked(home, sleep=60)
    with pytest.raises(subprocess.TimeoutExpired):
        step.communicate(0.2)
    assert eventually(lambda: step.poll() == -signal.SIGKILL)


def test_a_caller_that_goes_away_or_talks_nonsense_starts_nothing_and_harms_nobody(home: Path) -> None:
    for words in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff\xff\xff\xff"):
        connection = connect(socket_path(home), seconds=30)
        assert connection is not None
        connection.sendall(words)
        connection.close()
    assert forked(home).wait(60) == 0


def test_a_killed_parent_takes_its_steps_along_and_another_takes_its_place(home: Path) -> None:
    step = forked(home, sleep=300)
    [parent] = parents(home)
    parent.kill()
    assert step.wait(60) == -signal.SIGKILL
    assert eventually(lambda: not psutil.pid_exists(step.pid))
    assert eventually(lambda: connect(socket_path(home), seconds=30))
    assert forked(home).wait(60) == 0


def test_changed_code_is_never_run_from_memory_and_steps_under_way_end_in_peace(home: Path) -> None:
    [old] = parents(home)
    under_way = forked(home, sleep=3)
    source = home / "project" / "include" / "steps" / "protocol.py"
    source.write_text(source.read_text() + "\n# changed\n")
    assert fork(home) is None, "refused: it starts cold"
    assert eventually(lambda: connect(socket_path(home), seconds=30)), "a new parent has imported the new code"
    assert under_way.wait(60) == 0
    assert eventually(lambda: not old.is_running())
    assert forked(home).wait(60) == 0


def test_a_caller_waits_for_a_parent_that_still_imports(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(socket_path(tmp_path)))
    listener.listen()
    assert connect(socket_path(tmp_path), seconds=0.2) is None, "not for ever"
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(socket_path(tmp_path)))
    listener.accept()  # the first caller, who has gone another way
    accepted, _ = listener.accept()
    accepted.sendall(READY)
    assert receive_exactly(connection, len(READY)) == READY
    for one in (accepted, connection, listener):
        one.close()


def test_a_parent_in_which_a_thread_runs_never_forks(tmp_path: Path) -> None:
    parent = started(tmp_path, program="tests.plugins.threaded_program")
    assert parent.wait(120) == 1
    assert "no fork is safe" in (tmp_path / "warm-parent.log").read_text()
    assert fork(tmp_path) is None


def test_nothing_of_a_parent_is_left_when_it_is_told_to_end(tmp_path: Path) -> None:
    parent = started(tmp_path)
    wait_until_ready(tmp_path, parent)
    step = forked(tmp_path, sleep=300)
    parent.terminate()
    assert parent.wait(60) == 0
    assert step.wait(60) == -signal.SIGKILL
    assert eventually(lambda: not parents(tmp_path))
