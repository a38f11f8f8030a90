"""Load while versions come and go, workers are killed, and database and MLflow are away.

``NORIA_LOAD_SECONDS`` makes it longer than continuous integration has time for: ``make test-load`` asks for a minute.
"""

from __future__ import annotations

import os
import resource
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from include.registry import stages, state
from include.registry.mlflow_client import connect
from include.settings import Settings
from include.stack.postgres import Postgres
from tests.serving.checking import log_faults, logged_answers, rows_in_table, wrong_versions
from tests.serving.live import GOOD_ROW, Logged, as_process, deploy, predict, register, serving, until
from tests.serving.load import ClosedLoop, Load, Template, row_bodies, send
from tests.serving.mlflow_server import mlflow_server

pytestmark = [pytest.mark.database, pytest.mark.by_turns]
SECONDS = float(os.environ.get("NORIA_LOAD_SECONDS", "8"))
AWAY_SECONDS = max(3.0, SECONDS / 2)
CONNECTIONS = 8
BODIES = row_bodies([{**GOOD_ROW, "n": n % 9, "x": n / 200} for n in range(200)])
# Nothing that is judged ends a stage here: what comes and goes is this test's business.
PATIENT: dict[str, Any] = {
    "evidence": {"requests": 10**9, "labels": 0, "time_s": None},
    "rollback": {
        "error_rate": 1.0,
        "p99_ms": None,
        "added_ms": 1e6,
        "prediction_shift": 1e6,
        "quality_margin": 1.0,
    },
    "metric": "rmse",
    "task": "regression",
    "threshold": 0.5,
    "length_s": None,
    "label_known_after_s": 3600.0,
    "event_time": None,
}


@dataclass
class Live:
    """A server process with two workers, and who follows what."""

    settings: Settings
    client: httpx.Client
    process: psutil.Process
    log: Path
    versions: list[int]
    lost: int = 0
    killed: list[float] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)

    def workers(self) -> list[psutil.Process]:
        """The processes that answer."""
        return [one for one in self.process.children() if one.name() == "noria-worker"]

    def kill_background(self) -> None:
        """Kill the process that scores, compacts and judges, wherever it is."""
        next(one for one in self.process.children() if one.name() == "noria-behind").kill()

    def kill_worker(self) -> None:
        """Stop a worker where it is, count the connections that it holds, and kill it."""
        worker = next(one for one in self.workers() if _connections(one))
        worker.send_signal(signal.SIGSTOP)
        self.lost += _connections(worker)
        self.killed.append(time.time())
        worker.kill()


def _connections(process: psutil.Process) -> int:
    return sum(one.status == psutil.CONN_ESTABLISHED for one in process.net_connections("tcp"))


@contextmanager
def live(settings: Settings, folder: Path, versions: list[int]) -> Iterator[Live]:
    log = folder / "server.log"
    with (
        as_process(settings, log, workers=2) as (here, process),
        httpx.Client(
            base_url=here.server_url, trust_env=False, timeout=30, limits=httpx.Limits(max_keepalive_connections=0)
        ) as client,
    ):
        found = Live(here, client, psutil.Process(process.pid), log, versions)
        until(lambda: _all_serve(found, versions[0]), 90)
        yield found


def _all_serve(found: Live, version: int) -> bool:
    try:
        return len(found.workers()) == 2 and all(serving(found.client, version) for _ in range(12))
    except httpx.TransportError:
        return False


def loaded(settings: Settings, connections: int = CONNECTIONS) -> AbstractContextManager[ClosedLoop]:
    """Load for as long as the block."""
    return ClosedLoop(Template(settings.server_url, "/models/m/predict"), BODIES).running(connections)


def enter_canary(settings: Settings, version: int, share: float, deployment: str) -> None:
    champion = state.champion(settings, "m")
    assert champion is not None
    now = datetime.now(UTC)
    plan = {"stage": f"canary_{share}", "kind": "canary", "started_at": now.isoformat(), "champion": champion.version}
    stages.enter_stage(
        settings, "m", version, role="canary", share=share, plan=PATIENT | plan, until=now + timedelta(hours=1),
        deployment=deployment, actor="ana", reason="test", force=True,
    )  # fmt: skip


def deployments(settings: Settings, versions: list[int]) -> Iterator[Callable[[], None]]:
    """Changes of the state without end: canaries that grow and win, promotions that are rolled back, withdrawals."""
    who: dict[str, Any] = {"actor": "ana", "reason": "test"}
    while True:
        for version in versions:
            name = uuid.uuid4().hex
            champion = state.champion(settings, "m")
            if champion is not None and champion.version == version:
                continue
            yield lambda v=version, n=name: enter_canary(settings, v, 0.2, n)  # type: ignore[misc]
            yield lambda v=version, n=name: enter_canary(settings, v, 0.6, n)  # type: ignore[misc]
            yield lambda v=version, n=name: stages.promote_challenger(  # type: ignore[misc]
                settings, "m", v, deployment=n, force=True, **who
            )
            yield lambda: state.roll_back(settings, "m", bar=False, **who)
            again = uuid.uuid4().hex
            yield lambda v=version, n=again: enter_canary(settings, v, 0.3, n)  # type: ignore[misc]
            yield lambda v=version: stages.withdraw(settings, "m", v, bar=False, **who)  # type: ignore[misc]
            yield lambda v=version: deploy(settings, v, force=True)  # type: ignore[misc]


def assert_sound(found: Live) -> None:
    """No failed request beyond the killed workers' connections; versions in state; each answer in the log once."""
    loads = found.loads
    lost = [one for load in loads for one in load.lost]
    assert {status for load in loads for status in load.statuses()} <= {200, 0}, [load.statuses() for load in loads]
    assert len(lost) <= found.lost, (found.lost, lost[:5])
    assert all(any(-0.5 <= one.ended - at <= 2 for at in found.killed) for one in lost), lost
    wrong = [one for load in loads for one in wrong_versions(found.settings, "m", load)]
    assert wrong == [], wrong[:5]
    assert not (faults := log_faults(found.settings, "m", loads)), faults
    assert "Traceback" not in found.log.read_text()


@pytest.fixture(scope="module")
def found(
    postgres: Postgres, tracking_url: str, logged_models: list[Logged], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Live]:
    """One server for the tests that leave database and MLflow where they are."""
    folder = tmp_path_factory.mktemp("load")
    postgres.create_database("load")
    settings = replace(
        Settings.from_environment({"NORIA_HOME": str(folder / "home")}),
        database_url=postgres.url("load"),
        tracking_url=tracking_url,
    )
    versions = [register(settings, logged) for logged in logged_models]
    deploy(settings, versions[0])
    with live(settings, folder, versions) as found:
        yield found
    postgres.drop_database("load")


def test_thousand_connections_at_once_are_all_answered(found: Live) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    found.loads.append(send(Template(found.settings.server_url, "/models/m/predict"), BODIES, 1000, requests=1500))
    assert found.loads[-1].statuses() == {200: 1500}
    assert_sound(found)


def test_deployments_and_killed_processes_under_load_lose_no_answer(found: Live) -> None:
    with loaded(found.settings) as loop:
        changes = deployments(found.settings, found.versions)
        begin = time.monotonic()
        faults = [(SECONDS / 4, found.kill_background), (SECONDS / 2, found.kill_worker)]
        faults += [(SECONDS * 3 / 4, found.kill_background)]
        while time.monotonic() - begin < SECONDS:
            next(changes)()
            time.sleep(0.7)
            while faults and time.monotonic() - begin > faults[0][0]:
                faults.pop(0)[1]()
    until(lambda: len(found.process.children()) == 3)
    found.loads.append(loop.load)
    assert found.killed
    assert {one.role for one in loop.load.answered} == {"champion", "canary"}
    assert len({one.version for one in loop.load.answered}) >= 2
    assert_sound(found)


def test_a_load_that_left_something_wrong_behind_is_noticed(found: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    found.loads.append(send(Template(found.settings.server_url, "/models/m/predict"), BODIES, 2, requests=20))
    assert_sound(found)
    good, *others = found.loads[-1].answered
    strange = Load([replace(good, version=99), replace(good, role="canary", started=0.0, ended=1.0)])
    assert wrong_versions(found.settings, "m", strange) == strange.sent
    unanswered = replace(good, request_id="never-sent")
    faults = log_faults(found.settings, "m", [*found.loads[:-1], Load([*others, unanswered])])
    assert (faults.absent, faults.unknown, faults.repeated) == (["never-sent"], [good.request_id], [])
    logged = logged_answers(found.settings, "m")
    monkeypatch.setattr("tests.serving.checking.logged_answers", lambda *_: [*logged, logged[0]])
    assert log_faults(found.settings, "m", found.loads).repeated == [logged[0][0]]


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[Postgres]:
    server = Postgres.for_instance(tmp_path / "own", f"test-{uuid.uuid4().hex[:12]}")
    server.start()
    server.create_database("noria")
    yield server
    server.stop()
    server.delete()


def test_database_and_mlflow_away_under_load_lose_no_answer_and_state_and_log_catch_up(
    settings: Settings, tracking_url: str, logged_models: list[Logged], own_postgres: Postgres, tmp_path: Path
) -> None:
    with mlflow_server(tracking_url, tmp_path) as mlflow:
        here = replace(settings, database_url=own_postgres.url("noria"), tracking_url=mlflow.url)
        versions = [register(here, logged) for logged in logged_models[:2]]
        deploy(here, versions[0])
        with live(here, tmp_path, versions) as found, loaded(found.settings, 4) as loop:
            own_postgres.stop()
            mlflow.stop()
            time.sleep(AWAY_SECONDS)
            assert predict(found.client).json()["version"] == versions[0]
            own_postgres.start()
            deploy(here, versions[1])
            until(lambda: found.client.get("/models/m").json()["wanted_version"] == versions[1], 10)
            assert predict(found.client).json()["version"] == versions[0]
            mlflow.start()
            until(lambda: _all_serve(found, versions[1]), AWAY_SECONDS + 60)
            until(lambda: rows_in_table(found.settings, "m") >= len(loop.load.answered) / 2, 30)
            aliases = connect(here).get_registered_model
            until(lambda: int(aliases("m").aliases["champion"]) == versions[1], 60)
            loop.stop()
    assert set(loop.load.statuses()) == {200}
    convergence = 2 * AWAY_SECONDS + 150  # MLflow stays away longer than the database
    assert wrong_versions(found.settings, "m", loop.load, convergence=convergence) == []
    faults = log_faults(found.settings, "m", [loop.load])
    assert (faults.absent, faults.repeated, faults.otherwise) == ([], [], [])
    assert len(faults.unknown) == 2  # the two requests beside the load
