"""A small real world: packaged models in a real MLflow, versions in PostgreSQL, a server that answers on a port."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import uvicorn
import xgboost

from include.registry import state, versions
from include.registry.mlflow_client import connect
from include.serving.app import build
from include.serving.limits import Limits
from include.settings import PROJECT, Settings
from include.training.package import log_package, write_package
from include.training.packaged_model import TabularModel
from include.training.trainers.xgboost_trees import Trees

COLUMNS = {"n": "integer", "x": "number", "place": "string", "dry": "boolean", "seen_at": "timestamp"}
FEATURES = [
    {"name": "tenfold", "type": "numeric", "expression": "n * 10", "categories": None},
    {"name": "x", "type": "numeric", "expression": "x", "categories": None},
    {"name": "place", "type": "category", "expression": "place", "categories": ["A", "B", "C"]},
    {"name": "dry", "type": "boolean", "expression": "dry", "categories": None},
    {"name": "hour", "type": "numeric", "expression": "hour(seen_at)", "categories": None},
]
SELECT = (
    "CAST(n * 10 AS DOUBLE) AS feature_tenfold, x AS feature_x, place AS feature_place, dry AS feature_dry, "
    "CAST(hour(seen_at) AS DOUBLE) AS feature_hour"
)
DESCRIPTION: dict[str, Any] = {
    "format": 1,
    "model": "m",
    "task": "regression",
    "time_zone": "UTC",
    "columns": COLUMNS,
    "features": FEATURES,
    "select": SELECT,
    "feature_module": None,
}
GOOD_ROW: dict[str, Any] = {"n": 3, "x": 0.25, "place": "B", "dry": True, "seen_at": "2013-10-01T05:00:00"}
FAST = Limits(poll_seconds=0.05, retry_seconds=0.1, body_bytes=200_000, rows=1000)
AS_OF = datetime(2013, 10, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Logged:
    """A model in MLflow that is not registered yet."""

    seed: int
    run_id: str
    model_uri: str
    artifact_digest: str


def raw_rows(count: int) -> pd.DataFrame:
    draw = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "n": draw.integers(0, 9, count),
            "x": np.where(draw.random(count) < 0.1, np.nan, draw.random(count)),
            "place": draw.choice(["A", "B", "C"], count),
            "dry": draw.random(count) < 0.5,
            "seen_at": pd.Timestamp("2013-10-01") + pd.to_timedelta(draw.integers(0, 48, count), unit="h"),
        }
    )


def log_model(settings: Settings, folder: Path, seed: int) -> Logged:
    """Train a tiny model and log it with its verification rows."""
    draw = np.random.default_rng(seed)
    booster = xgboost.train(
        {"max_depth": 3, "seed": seed, "nthread": 1},
        xgboost.DMatrix(draw.random((300, len(FEATURES))) * 10, draw.random(300)),
        num_boost_round=5,
    )
    package = folder / f"package-{seed}"
    write_package(package, estimator=Trees(booster), description=DESCRIPTION, profile={"seed": seed})
    rows = raw_rows(230)
    client = connect(settings)
    # Not set_experiment: it would outlive the test and reach the next one's runs.
    known = client.get_experiment_by_name("serving")
    experiment = known.experiment_id if known else client.create_experiment("serving")
    with mlflow.start_run(experiment_id=experiment) as run:
        logged = log_package(package, example=rows.head(2), run_id=run.info.run_id)
        table = pa.Table.from_pandas(rows, preserve_index=False)
        predictions = TabularModel.open(package).predict_frame(rows)
        path = folder / f"rows-{seed}" / "rows.parquet"
        path.parent.mkdir()
        pq.write_table(table.append_column("prediction", pa.array(predictions)), path)
        mlflow.log_artifact(str(path), "verification")
    return Logged(seed, run.info.run_id, logged.model_uri, logged.artifact_digest)


def register(settings: Settings, logged: Logged, *, digest: str | None = None, model: str = "m") -> int:
    """Register a logged model; seed n is as of n days after 1 October 2013."""
    outcome = versions.register_version(
        settings,
        model,
        fingerprint=f"f{logged.seed}{digest or ''}",
        run_id=logged.run_id,
        as_of=AS_OF + timedelta(days=logged.seed),
        artifact_digest=digest or logged.artifact_digest,
        model_uri=logged.model_uri,
    )
    return outcome.version.version


def deploy(settings: Settings, version: int, model: str = "m", *, force: bool = False) -> None:
    state.switch_champion(settings, model, version, actor="ana", reason="test", force=force)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the condition never held")
        time.sleep(0.02)


@contextmanager
def in_thread(settings: Settings, limits: Limits = FAST) -> Iterator[httpx.Client]:
    """The server in a thread of this process; yields a client of it."""
    config = uvicorn.Config(build(settings, limits), port=free_port(), log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    with httpx.Client(base_url=f"http://127.0.0.1:{config.port}", trust_env=False, timeout=30) as client:
        yield client
    server.should_exit = True
    thread.join(timeout=10)


@contextmanager
def as_process(
    settings: Settings,
    log: Path,
    *,
    script: str | None = None,
    workers: int = 1,
    more: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[tuple[Settings, subprocess.Popen[bytes]]]:
    """The server as a process of its own; yields settings with its address.

    :param script: Python source to run instead of ``-m include.serving``.
    :param more: further arguments.
    :param environment: further variables.
    """
    port = free_port()
    start = ["-m", "include.serving"] if script is None else ["-c", script]
    variables = {
        **os.environ,
        "NORIA_HOME": str(settings.home),
        "NORIA_DATABASE_URL": settings.database_url,
        "NORIA_TRACKING_URL": settings.tracking_url,
        **(environment or {}),
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *start, "--port", str(port), "--workers", str(workers), *more],
            env=variables,
            cwd=PROJECT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield replace(settings, server_url=f"http://127.0.0.1:{port}"), process
        finally:
            process.terminate()
            process.wait(timeout=60)


def serving(client: httpx.Client, version: int | None, model: str = "m") -> bool:
    """Whether the server says that this version answers."""
    answer = client.get(f"/models/{model}")
    return answer.status_code == 200 and answer.json()["version"] == version


def predict(client: httpx.Client, *rows: dict[str, Any], model: str = "m") -> httpx.Response:
    return client.post(f"/models/{model}/predict", json={"rows": list(rows or [GOOD_ROW])})
