"""A server of its own with two workers and a PostgreSQL of its own, under requests that are all remembered."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import psutil

from include.registry import state
from include.registry.database import ensure_schema
from include.registry.mlflow_client import connect
from include.settings import Settings
from include.stack.postgres import Postgres
from tests.serving.checking import LogFaults, log_faults, wrong_versions
from tests.serving.engine import enter, save_model
from tests.serving.live import GOOD_ROW, as_process, serving, until
from tests.serving.load import ClosedLoop, Template, row_bodies

PATH = "/models/m/predict"
BODIES = row_bodies([{**GOOD_ROW, "order": n} for n in range(200)])
CONNECTIONS = 4


@dataclass(frozen=True)
class ServingWorld:
    """The server, who asks it, and what it stands on."""

    settings: Settings
    postgres: Postgres
    server: psutil.Process
    client: httpx.Client
    said: Path

    @property
    def template(self) -> Template:
        """Where requests go."""
        return Template(self.settings.server_url, PATH)

    def load(self) -> AbstractContextManager[ClosedLoop]:
        """Requests for as long as the block; at its end all are answered."""
        return ClosedLoop(self.template, BODIES).running(CONNECTIONS)

    def switch(self, version: int) -> None:
        """Another champion."""
        state.switch_champion(self.settings, "m", version, actor="ana", reason="chaos", force=True)

    def memory(self) -> int:
        """Bytes of the server's processes that are its own."""
        return sum(one.memory_full_info().uss for one in (self.server, *self.server.children()))

    def check(self, loop: ClosedLoop, *, convergence: float = 2.0, complains: bool = False) -> LogFaults:
        """No request was refused or lost, each was answered by a version in state; returns what is wrong in the log.

        :param complains: whether the server may tell errors of its own processes, as on a full disk.
        """
        assert set(loop.load.statuses()) == {200}, loop.load.statuses()
        wrong = wrong_versions(self.settings, "m", loop.load, convergence=convergence)
        assert wrong == [], wrong[:3]
        assert complains or "Traceback" not in self.said.read_text(), self.said.read_text()[-3000:]
        return log_faults(self.settings, "m", [loop.load])


@contextmanager
def serving_world(home: Path | None = None, environment: Mapping[str, str] | None = None) -> Iterator[ServingWorld]:
    """A server that answers with version 1 of two; everything is gone at the block's end.

    :param environment: more variables of the server, such as a library to load.
    :param home: the server's home, where its request log lies, such as a folder of a disk of its own.
    """
    folder = Path(tempfile.mkdtemp(prefix="noria-faults-"))
    postgres = Postgres.for_instance(folder, f"faults-{uuid.uuid4().hex[:12]}")
    try:
        postgres.start()
        postgres.create_database("noria")
        settings = replace(
            Settings.from_environment({"NORIA_HOME": str(home or folder / "home")}),
            database_url=postgres.url("noria"),
            tracking_url=f"sqlite:///{folder}/mlflow.db",
        )
        ensure_schema(settings.database_url)
        connect(settings).search_experiments()  # makes MLflow's tables, which the server's processes would do at once
        for seed in (1, 2):
            enter(settings, save_model(folder, seed))
        state.switch_champion(settings, "m", 1, actor="ana", reason="a start")
        said = folder / "server.log"
        with as_process(settings, said, workers=2, environment=environment) as (here, process):
            limits = httpx.Limits(max_keepalive_connections=0)
            with httpx.Client(base_url=here.server_url, trust_env=False, timeout=60, limits=limits) as client:
                until(lambda: _serves(client), 120)
                yield ServingWorld(here, postgres, psutil.Process(process.pid), client, said)
    finally:
        postgres.stop()
        postgres.delete()
        shutil.rmtree(folder, ignore_errors=True)


def _serves(client: httpx.Client) -> bool:
    try:
        return all(serving(client, 1) for _ in range(12))
    except httpx.TransportError:
        return False
