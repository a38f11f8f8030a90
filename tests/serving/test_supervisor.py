"""Real processes that are killed, told to end, and left alone by their supervisor."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from include.registry import stages
from include.serving.supervisor import Child, PortTaken, listen
from include.settings import PROJECT, Settings
from tests.connections import connections
from tests.serving.engine import challenge, enter, held, order, save_model
from tests.serving.live import GOOD_ROW, Logged, as_process, deploy, until

database = pytest.mark.database
HEADERS = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> list[Logged]:
    return [save_model(tmp_path_factory.mktemp("saved"), seed) for seed in (1, 2)]


@pytest.fixture
def world(stored_settings: Settings, saved: list[Logged]) -> Settings:
    """A champion and a canary with a half of the entities."""
    for model in saved:
        enter(stored_settings, model)
    deploy(stored_settings, 1)
    challenge(stored_settings, 2, share=0.5)
    return stored_settings


@contextmanager
def running(settings: Settings, log: Path, workers: int = 2) -> Iterator[tuple[httpx.Client, psutil.Process]]:
    """A server without background process; the client opens a connection for each request."""
    with as_process(settings, log, workers=workers, more=("--background", "off")) as (live, process):
        fresh = httpx.Limits(max_keepalive_connections=0)
        with httpx.Client(base_url=live.server_url, trust_env=False, timeout=30, limits=fresh) as client:
            until(lambda: is_up(client), 60)
            yield client, psutil.Process(process.pid)


def is_up(client: httpx.Client) -> bool:
    return is_everywhere(client, {"champion": (1, "serving"), "canary": (2, "serving")})


def workers_of(supervisor: psutil.Process) -> dict[int, psutil.Process]:
    return {child.pid: child for child in supervisor.children() if child.name() == "noria-worker"}


def predict(client: httpx.Client, number: int) -> httpx.Response:
    return client.post("/models/m/predict", json={"rows": [order(number)]})


class Asking:
    """Closed loops of keep-alive connections until told to stop; remembers what came of each request."""

    def __init__(self, client: httpx.Client, count: int) -> None:
        self._place = (client.base_url.host, client.base_url.port)
        self._stop = threading.Event()
        self.outcomes: Counter[str] = Counter()
        self._threads = [threading.Thread(target=self._ask) for _ in range(count)]

    def __enter__(self) -> Asking:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=30)

    def _ask(self) -> None:
        body = json.dumps({"rows": [GOOD_ROW]})
        while not self._stop.is_set():
            connection = http.client.HTTPConnection(*self._place, timeout=30)
            try:
                connection.connect()
            except OSError:  # nobody listens: this request was never taken
                self.outcomes["away"] += 1
                time.sleep(0.02)
                continue
            try:
                self._ask_on(connection, body)
            except (OSError, http.client.HTTPException) as error:
                self.outcomes[f"lost: {type(error).__name__}"] += 1
            finally:
                connection.close()

    def _ask_on(self, connection: http.client.HTTPConnection, body: str) -> None:
        closing = False
        while not (closing or self._stop.is_set()):
            connection.request("POST", "/models/m/predict", body, HEADERS)
            answer = connection.getresponse()
            answer.read()
            self.outcomes[str(answer.status)] += 1
            closing = answer.will_close


@database
def test_killed_worker_is_replaced_and_costs_no_more_than_its_connections(world: Settings, tmp_path: Path) -> None:
    with running(world, tmp_path / "log") as (client, supervisor):
        before = workers_of(supervisor)
        assert len(before) == 2
        with Asking(client, 4) as asking:
            until(lambda: asking.outcomes["200"] > 50)
            os.kill(next(iter(before)), signal.SIGKILL)
            killed = time.monotonic()
            until(lambda: len(workers_of(supervisor)) == 2 and not set(workers_of(supervisor)) <= set(before))
            replaced = time.monotonic() - killed
            enough = asking.outcomes["200"] + 100
            until(lambda: asking.outcomes["200"] > enough)
        lost = sum(count for outcome, count in asking.outcomes.items() if outcome.startswith("lost"))
        assert set(asking.outcomes) - {"200"} <= {outcome for outcome in asking.outcomes if outcome.startswith("lost")}
        assert lost <= 4
        assert replaced < 20


@database
def test_sigterm_under_load_loses_no_request(world: Settings, tmp_path: Path) -> None:
    with running(world, tmp_path / "log") as (client, supervisor):
        with Asking(client, 6) as asking:
            until(lambda: asking.outcomes["200"] > 100)
            supervisor.send_signal(signal.SIGTERM)
            until(lambda: not supervisor.is_running() or supervisor.status() == psutil.STATUS_ZOMBIE)
        assert set(asking.outcomes) <= {"200", "away"}, asking.outcomes
    answered = asking.outcomes["200"]
    logged = [
        line for path in (world.home / "serving" / "log").glob("2*") for line in path.open() if '"answer"' in line
    ]
    assert len(logged) == answered
    assert [path.suffix for path in (world.home / "serving" / "log").glob("2*")] == [".closed"] * 2
    assert (tmp_path / "log").read_text().count("Traceback") == 0


@database
def test_children_of_a_killed_supervisor_end_by_themselves_and_free_the_port(world: Settings, tmp_path: Path) -> None:
    with running(world, tmp_path / "log") as (client, supervisor):
        children = supervisor.children(recursive=True)
        with Asking(client, 4) as asking:
            until(lambda: asking.outcomes["200"] > 50)
            supervisor.kill()
            gone, alive = psutil.wait_procs(children, timeout=20)
        assert (len(gone), alive) == (len(children), [])
        assert set(asking.outcomes) <= {"200", "away"}, asking.outcomes
        listen("127.0.0.1", int(client.base_url.port or 0)).close()


@database
def test_workers_follow_the_state_over_one_connection_and_go_on_when_its_owner_dies(
    world: Settings, tmp_path: Path
) -> None:
    with running(world, tmp_path / "log", workers=3) as (client, supervisor):
        until(lambda: len(connections(world.database_url)) == 1)
        before = connections(world.database_url)
        for pid in workers_of(supervisor):
            os.kill(pid, signal.SIGKILL)  # one of them is the owner
            until(lambda gone=pid: len(workers_of(supervisor)) == 3 and gone not in workers_of(supervisor))
        stages.withdraw(world, "m", 2, bar=False, actor="ana", reason="because")
        until(lambda: is_everywhere(client, {"champion": (1, "serving")}))
        until(lambda: len(connections(world.database_url)) == 1)
        assert connections(world.database_url) != before


def is_everywhere(client: httpx.Client, roles: dict[str, tuple[int, str]]) -> bool:
    """Whether all workers hold these, as far as a dozen new connections can tell."""
    try:
        return all(held(client) == roles for _ in range(12))
    except httpx.TransportError:
        return False


@database
def test_metrics_add_up_over_workers_and_outlive_one(world: Settings, tmp_path: Path) -> None:
    def numbers(client: httpx.Client) -> tuple[float, float, float]:
        text = client.get("/metrics").text
        answered = re.findall(
            r'noria_requests_total\{model="m",outcome="answered",role="\w+",version="\d"\} (.+)', text
        )
        timed = re.findall(r'noria_request_seconds_count\{model="m",role="\w+",version="\d"\} (.+)', text)
        refused = re.findall(r'noria_refused_total\{model="m",status="422"\} (.+)', text)
        return sum(map(float, answered)), sum(map(float, timed)), sum(map(float, refused))

    with running(world, tmp_path / "log") as (client, supervisor):
        pids = set(workers_of(supervisor))
        for number in range(60):
            assert predict(client, number).status_code == 200
        for _ in range(5):
            assert client.post("/models/m/predict", json={"rows": [{}]}).status_code == 422
        assert {numbers(client) for _ in range(6)} == {(60.0, 60.0, 5.0)}
        text = client.get("/metrics").text
        assert 'version="1"' in text
        assert 'version="2"' in text
        until(lambda: float(re.findall(r"(?m)^noria_log_bytes_total (.+)", client.get("/metrics").text)[0]) > 1000)
        os.kill(pids.pop(), signal.SIGKILL)
        until(lambda: len(workers_of(supervisor)) == 2)
        until(lambda: is_up(client))
        assert numbers(client) == (60.0, 60.0, 5.0)


@database
def test_ages_in_the_metrics_are_those_of_now_whichever_worker_is_asked(world: Settings, tmp_path: Path) -> None:
    def age(client: httpx.Client) -> float:
        return float(re.findall(r'(?m)^noria_model_age_seconds\{model="m"\} (.+)', client.get("/metrics").text)[0])

    with running(world, tmp_path / "log") as (client, _):
        with ThreadPoolExecutor(8) as at_once:  # so that each worker tells its own
            old = max(at_once.map(lambda _: age(client), range(80)))
        stages.promote_challenger(world, "m", 2, deployment="deployment-1", actor="ana", reason="test", evidence={})
        with httpx.Client(base_url=client.base_url, trust_env=False) as one_worker:
            until(lambda: age(one_worker) < old - 80_000, 10)


def test_port_that_is_taken_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.serving.supervisor._BIND_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(PortTaken, match="--port") as caught:
        listen("127.0.0.1", other.getsockname()[1])
    assert caught.value.host == "127.0.0.1"


def test_child_that_dies_again_and_again_is_started_more_and_more_slowly() -> None:
    child, pauses = Child("x", lambda _: None), []
    for _ in range(12):
        child.began = 100.0
        pauses.append(child.ended(101.0))
    assert pauses[0] == 0.1
    assert pauses == sorted(pauses)
    assert pauses[-1] == 10.0
    child.began = 100.0
    assert child.ended(200.0) == 0.0


BEGINS = b"begins\n"
"""What a child says, in one write: two may say it at once."""
PATIENCE_SECONDS = 60


@contextmanager
def supervising(script: str) -> Iterator[subprocess.Popen[str]]:
    """A supervisor and children of the script's; killed at the end, or when nothing more is to be expected of it."""
    start = [sys.executable, "-c", f"BEGINS = {BEGINS!r}\n{script}"]
    with subprocess.Popen(start, stdout=subprocess.PIPE, text=True, cwd=PROJECT) as supervisor:
        patience = threading.Timer(PATIENCE_SECONDS, supervisor.kill)
        patience.start()
        try:
            yield supervisor
        finally:
            patience.cancel()
            supervisor.kill()


def begun(supervisor: subprocess.Popen[str], times: int) -> bool:
    """Whether its children have begun so often; waits for it."""
    assert supervisor.stdout is not None
    return all(supervisor.stdout.readline() == BEGINS.decode() for _ in range(times))


def children(supervisor: subprocess.Popen[str], status: str | None = None) -> Counter[str]:
    """Names of its children, which come and go while they are looked at."""
    names = Counter[str]()
    for child in psutil.Process(supervisor.pid).children():
        with suppress(psutil.NoSuchProcess), child.oneshot():
            if status in {None, child.status()}:
                names[child.name()] += 1
    return names


def ends_in_order(supervisor: subprocess.Popen[str]) -> bool:
    supervisor.send_signal(signal.SIGTERM)
    return supervisor.wait() == 0


_HUNG = """
import os, time
from include.serving import supervisor
supervisor.SILENT_SECONDS, supervisor._LOOK_SECONDS = 0.5, 0.1
def work(alive):
    os.write(1, BEGINS)
    alive()
    time.sleep(600)
children = [supervisor.Child("stuck", work), supervisor.Child("quiet", lambda _: time.sleep(600))]
supervisor.Supervisor(children, supervisor.listen("127.0.0.1", 0), drain_seconds=5).run()
"""


def test_process_that_does_not_move_any_more_is_killed_and_replaced() -> None:
    with supervising(_HUNG) as supervisor:
        assert begun(supervisor, times=3)
        assert children(supervisor)["quiet"] == 1
        assert ends_in_order(supervisor)


_CROWDED = """
import os, time
from include.serving import supervisor
fork, left = os.fork, [2]
def crowded():
    if left[0]:
        left[0] -= 1
        raise BlockingIOError(11, "Resource temporarily unavailable")
    return fork()
os.fork = crowded
def work(alive):
    os.write(1, BEGINS)
    time.sleep(600)
children = [supervisor.Child("a", work), supervisor.Child("b", work)]
supervisor.Supervisor(children, supervisor.listen("127.0.0.1", 0), drain_seconds=5).run()
"""


def test_process_that_could_not_be_started_is_started_later() -> None:
    with supervising(_CROWDED) as supervisor:
        assert begun(supervisor, times=2)
        assert ends_in_order(supervisor)


_FIRST_PROCESS = """
import ctypes, os, time
from include.serving import supervisor
ctypes.CDLL(None).prctl(36, 1)  # as in a container, children's children come to it when their parents are gone
def work(alive):
    for _ in range(5):
        if os.fork() == 0:
            time.sleep(0.2)
            os._exit(0)
    os.write(1, BEGINS)
    time.sleep(0.1)
children = [supervisor.Child("parent", work)]
supervisor.Supervisor(children, supervisor.listen("127.0.0.1", 0), drain_seconds=5).run()
"""


def test_no_dead_process_stays_with_the_first_process_of_a_container() -> None:
    with supervising(_FIRST_PROCESS) as supervisor:
        assert begun(supervisor, times=3)
        until(lambda: children(supervisor, psutil.STATUS_ZOMBIE).total() <= 1, 5)
        assert ends_in_order(supervisor)


_THREADS_OF_THE_PROGRAM = """
import os, sys
import include.serving.__main__
heavy = {"duckdb", "mlflow", "numpy", "pandas", "pyarrow", "xgboost"}.intersection(sys.modules)
print(len(os.listdir("/proc/self/task")), *sorted(heavy))
"""


def test_what_the_server_imports_before_it_holds_signals_starts_no_thread() -> None:
    # A signal is held by the thread that holds it; one that a library started before would let the process die of it.
    found = subprocess.run(
        [sys.executable, "-c", _THREADS_OF_THE_PROGRAM], capture_output=True, text=True, check=True, cwd=PROJECT
    )
    assert found.stdout == "1\n"


@database
def test_server_that_is_told_to_end_while_it_starts_ends_in_order(stored_settings: Settings, tmp_path: Path) -> None:
    with as_process(stored_settings, tmp_path / "server.log") as (live, process):
        host, port = live.server_url.removeprefix("http://").split(":")
        until(lambda: _listens(host, int(port)), 30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def _listens(host: str, port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex((host, port)) == 0
