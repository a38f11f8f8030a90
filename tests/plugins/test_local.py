"""Mode local: a child process whose log streams, whose exit is understood, and that takes its children along.

Every test runs twice: with steps that are started cold, and with steps that the warm parent forks.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from include.settings import PROJECT
from plugins.operators import local
from plugins.operators.environment import connection_variables
from plugins.operators.step import StepCommand, StepOutcome
from tests.plugins.probe_program import warm_parent

PROBE = (sys.executable, str(PROJECT / "tests" / "plugins" / "probe_steps.py"))


class Recorder(logging.LoggerAdapter[logging.Logger]):
    """A logger that remembers when it heard what."""

    def __init__(self) -> None:
        super().__init__(logging.getLogger("recorder"), {})
        self.heard: list[tuple[float, str, str]] = []

    def log(self, level: int, message: object, *args: object, **_: Any) -> None:
        text = str(message) % args if args else str(message)
        self.heard.append((time.monotonic(), logging.getLevelName(level), text))

    @property
    def texts(self) -> list[str]:
        return [text for _, _, text in self.heard]


@pytest.fixture(scope="module")
def warm_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("warm")
    with warm_parent(home, bare=False):
        yield home


@pytest.fixture(autouse=True, params=["cold", "warm"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.setattr(local, "PROGRAM", PROBE)
    home = request.getfixturevalue("warm_home") if request.param == "warm" else tmp_path / "no-parent"
    monkeypatch.setenv("NORIA_HOME", str(home))
    return str(request.param)


def start(log: Recorder, **inputs: Any) -> local.LocalRun:
    command = StepCommand(
        step="probe",
        model="flight_delay",
        as_of="2013-10-01T00:00:00-04:00",
        run="run-1",
        attempt="try-1",
        inputs=inputs,
        threads=3,
        secrets={"NORIA_DATABASE_URL": "postgresql+psycopg2://u:hidden-word@h/noria"},
    )
    return local.start(command, context={}, log=log)


def run(**inputs: Any) -> tuple[StepOutcome, Recorder]:
    log = Recorder()
    return start(log, **inputs).wait(), log


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: Any, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not condition():
        time.sleep(0.05)
    return bool(condition())


def pids_of(file: Path) -> list[int]:
    assert wait_until(lambda: file.exists() and len(file.read_text().split()) == 2)
    return [int(word) for word in file.read_text().split()]


def test_the_output_comes_back_and_the_temporary_folder_goes() -> None:
    outcome, _ = run(x=1)
    assert outcome.exit_code == 0
    assert outcome.output["attempt"] == "try-1"
    assert not list(Path("/tmp").glob("noria-probe-*/return.json"))


def test_the_step_runs_as_it_was_meant_to(way: str) -> None:
    _, log = run()
    [line] = [text for text in log.texts if "runs as process" in text]
    assert ("forked by the warm parent" in line) == (way == "warm")


def test_lines_reach_the_log_as_they_come_with_their_level() -> None:
    _, log = run(say=["one 100%", "two"], pause=0.6)
    times = {text: when for when, _, text in log.heard}
    assert times["two"] - times["one 100%"] > 0.4, "streamed, not delivered at the end"
    assert ("WARNING", "one 100%") in [(level, text) for _, level, text in log.heard]
    assert "printed two" in log.texts


@pytest.mark.parametrize(("kind", "code"), [("refused", 10), ("nothing", 20), ("again", 30), ("defect", 1)])
def test_a_failed_step_reports_its_exit_code_and_its_own_words(kind: str, code: int) -> None:
    outcome, _ = run(**{"raise": kind, "message": "day 2013-10-05 was refused:\n- arr_delay is a text\n- 3 rows twice"})
    assert outcome.exit_code == code
    assert "day 2013-10-05 was refused" in outcome.message
    if kind in {"refused", "again"}:
        assert "3 rows twice" in outcome.message, "all lines of the message"
    assert "Traceback" not in outcome.message


def test_the_step_sees_its_addresses_and_threads_but_no_secret_of_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "key")
    monkeypatch.setenv("AIRFLOW_CONN_NORIA_DATABASE", "postgres://u:p@h/d")
    monkeypatch.setenv("SOMEBODYS_TOKEN", "token")
    monkeypatch.setenv("NORIA_STORE", "/data/store")
    environment = run(environment=True)[0].output["environment"]
    assert environment["OMP_NUM_THREADS"] == "3"
    assert environment["NORIA_STORE"] == "/data/store"
    assert environment["NORIA_DATABASE_URL"].endswith("@h/noria")
    assert not [name for name in environment if name.startswith("AIRFLOW") or name == "SOMEBODYS_TOKEN"]


def test_the_password_of_the_server_connection_is_the_token_of_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_NORIA_SERVER", "http://:bearer-word@server:8090")
    variables = connection_variables()
    assert variables["NORIA_SERVER_TOKEN"] == "bearer-word"
    assert "bearer-word" not in variables["NORIA_SERVER_URL"]


def test_no_secret_stands_on_the_command_line(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    step = start(Recorder(), child=str(pids), sleep=60)
    pid, _ = pids_of(pids)
    assert b"hidden-word" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    step.stop()
    step.wait()


def test_stopping_ends_the_step_and_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    step = start(Recorder(), child=str(pids), sleep=300)
    both = pids_of(pids)
    threading.Timer(0.2, step.stop).start()
    begin = time.monotonic()
    outcome = step.wait()
    assert outcome.exit_code == -signal.SIGTERM
    assert time.monotonic() - begin < local.GRACE_SECONDS + 1
    assert wait_until(lambda: not any(map(is_alive, both)))


def test_an_exception_while_waiting_such_as_a_timeout_ends_the_step_too(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    step = start(Recorder(), child=str(pids), sleep=300)
    both = pids_of(pids)

    def expire(*_: object) -> None:
        raise TimeoutError

    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(TimeoutError):
            step.wait()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert wait_until(lambda: not any(map(is_alive, both)))


def test_a_child_that_outlives_its_step_is_ended_and_does_not_hold_the_task(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    outcome, _ = run(child=str(pids))
    assert outcome.exit_code == 0
    assert wait_until(lambda: not any(map(is_alive, pids_of(pids))))


def test_kill_minus_nine_of_the_task_takes_the_step_and_its_children_along(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = f"""
import sys
sys.path.insert(0, {str(PROJECT)!r})
from plugins.operators import local
from plugins.operators.step import StepCommand
import logging
local.PROGRAM = {PROBE!r}
command = StepCommand(step="probe", model="flight_delay", as_of="2013-10-01T00:00:00-04:00", run="r", attempt="a",
                      threads=1, inputs={{"child": {str(pids)!r}, "sleep": 300}})
local.start(command, context={{}}, log=logging.getLogger()).wait()
"""
    task = subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT, env={**os.environ, "PYTHONPATH": str(PROJECT)})
    try:
        assert wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2, 30)
    finally:
        task.kill()
        task.wait()
    assert wait_until(lambda: not any(map(is_alive, pids_of(pids))))
