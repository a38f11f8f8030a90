"""``make bench``: speed as ratios within one run, on the flagship's real data.

What a process for each step costs beside the same steps called in one process, and what the way to an answer costs
beside the packaged model alone. Seconds depend on the machine; the ratios are what to compare.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import requests

from include.datasets import land
from include.registry.database import ensure_schema
from include.settings import PROJECT, Settings
from include.spec.as_of import resolve_as_of
from include.spec.definition import Definition
from include.spec.loader import find_definition
from include.spec.windows import needed_partitions
from include.stack.instance import is_free
from include.stack.life import first_rows
from include.stack.lifecycle import wait_for
from include.stack.postgres import Postgres
from include.steps.catalog import load_step
from include.steps.protocol import StepCall

Document = dict[str, Any]
Run = Callable[[str, Document], Document]
_MODEL = "flight_delay"
_CALLS = 300


@dataclass(frozen=True)
class Bench:
    """A database, a tracking store and landed data, for this run only."""

    settings: Settings
    definition: Definition
    as_of: datetime

    def environment(self) -> dict[str, str]:
        """Variables of child processes."""
        return {
            **os.environ,
            "NORIA_HOME": str(self.settings.home),
            "NORIA_DATABASE_URL": self.settings.database_url,
            "NORIA_TRACKING_URL": self.settings.tracking_url,
            "NORIA_SERVER_URL": self.settings.server_url,
            "PYTHONPATH": str(PROJECT),
            "OMP_WAIT_POLICY": "PASSIVE",
        }

    def in_this_process(self, step: str, inputs: Document) -> Document:
        """Call a step."""
        attempt = uuid.uuid4().hex[:12]
        call = StepCall(
            settings=self.settings, definition=self.definition, as_of=self.as_of, attempt=attempt, inputs=inputs
        )
        return load_step(step)(call)

    def as_a_process(self, step: str, inputs: Document) -> Document:
        """Run a step's command line."""
        result = self.settings.home / "result.json"
        words = [step, "--model", _MODEL, "--as-of", self.as_of.isoformat(), "--inputs", json.dumps(inputs)]
        environment = {**self.environment(), "NORIA_RESULT": str(result)}
        command = [sys.executable, "-m", "include.steps", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"The step {step} failed:\n{done.stderr}")
        return dict(json.loads(result.read_text()))


@contextmanager
def _bench() -> Iterator[Bench]:
    folder = Path(tempfile.mkdtemp(prefix="noria-bench-"))
    postgres = Postgres.for_instance(folder, f"bench-{uuid.uuid4().hex[:12]}")
    postgres.start()
    try:
        postgres.create_database("noria")
        port = next(port for port in range(18190, 18290) if is_free(port))
        settings = replace(
            Settings.from_environment({"NORIA_HOME": str(folder / "home")}),
            database_url=postgres.url("noria"),
            tracking_url=f"sqlite:///{folder}/mlflow.db",
            server_url=f"http://127.0.0.1:{port}",
        )
        ensure_schema(settings.database_url)
        land(settings, _MODEL)
        definition = find_definition(settings, _MODEL)
        as_of = resolve_as_of(definition, requested=None, partition_key=None, data_interval_end=None)
        # MLflow keeps a sqlite store's artifacts in the working folder.
        os.chdir(folder)
        yield Bench(settings, definition, as_of)
    finally:
        postgres.stop()
        postgres.delete()
        shutil.rmtree(folder, ignore_errors=True)


def _turn(bench: Bench, run: Run, seconds: dict[str, float]) -> Document:
    """Data and training, every partition anew; seconds by task are added to ``seconds``."""

    def timed(task: str, step: str, **inputs: Any) -> Document:
        begin = time.perf_counter()
        output = run(step, inputs)
        seconds[task] = time.perf_counter() - begin
        return output

    keys = [partition.key for partition in needed_partitions(bench.definition, bench.as_of)]
    staged = timed("ingest", "ingest", first=keys[0], last=keys[-1], force=True)
    raw = timed("publish raw", "publish", gate=timed("gate raw", "gate", stage="raw", staged=staged))
    prepared = timed("prepare", "prepare", published=raw, force=True)
    timed("publish features", "publish", gate=timed("gate features", "gate", stage="features", staged=prepared))
    training_set = timed("assemble", "assemble")
    timed("gate training", "gate", stage="training", training_set=training_set)
    training = timed("train", "train", training_set=training_set)
    predicted = timed("gate predictions", "gate", stage="predictions", training=training)
    timed("publish predictions", "publish", gate=predicted)
    evaluation = timed("evaluate", "evaluate", training=training)
    decision = timed("decide", "decide", training=training, evaluation=evaluation)
    registered = timed("register", "register", training=training, evaluation=evaluation, decision=decision)
    return {"training": training, **registered}


def _compare_steps(alone: dict[str, float], processes: dict[str, float]) -> None:
    print(f"\n{'step':<20}{'one process':>14}{'a process each':>16}{'ratio':>8}")
    for task, one in alone.items():
        print(f"{task:<20}{one:>12.2f} s{processes[task]:>14.2f} s{processes[task] / one:>8.1f}")
    total, split = sum(alone.values()), sum(processes.values())
    print(f"{'all':<20}{total:>12.2f} s{split:>14.2f} s{split / total:>8.2f}")


@contextmanager
def _server(bench: Bench) -> Iterator[str]:
    port = bench.settings.server_url.rsplit(":", 1)[1]
    command = [sys.executable, "-m", "include.serving", "--host", "127.0.0.1", "--port", port]
    with (bench.settings.home / "server.log").open("w") as log:
        server = subprocess.Popen(
            command, env=bench.environment(), cwd=bench.settings.home.parent, stderr=log, stdout=log
        )
    try:
        address = f"{bench.settings.server_url}/models/{_MODEL}"
        if not wait_for(lambda: _serves(address), 60):
            raise SystemExit(f"The server did not serve:\n{(bench.settings.home / 'server.log').read_text()}")
        yield address
    finally:
        server.terminate()
        server.wait()


def _serves(address: str) -> bool:
    try:
        return bool(requests.get(address, timeout=5).json().get("status") == "serving")
    except (requests.RequestException, ValueError):
        return False


def _compare_answers(bench: Bench, training: Document) -> None:
    import mlflow
    from mlflow.artifacts import download_artifacts

    from include.training.packaged_model import TabularModel

    rows = first_rows(bench.settings.store / training["training_set"]["directory"] / "holdout_inputs.parquet", 100)
    mlflow.set_tracking_uri(bench.settings.tracking_url)
    folder = download_artifacts(training["model_uri"])
    model = TabularModel.open(Path(folder) / "artifacts")
    with _server(bench) as address, requests.Session() as session:
        live = address.replace(f"/models/{_MODEL}", "/health/live")
        print(f"\n{'one connection':<34}{'p50':>10}{'p99':>10}")
        _row("the server's empty answer", lambda: session.get(live))
        for count in (1, 100):
            _row(f"packaged model alone, {count} rows", lambda count=count: model.predict_rows(rows[:count]))
            _row(
                f"server, {count} rows",
                lambda count=count: session.post(f"{address}/predict", json={"rows": rows[:count]}),
            )


def _row(name: str, call: Callable[[], object]) -> None:
    for _ in range(20):
        call()
    times = []
    for _ in range(_CALLS):
        begin = time.perf_counter()
        call()
        times.append((time.perf_counter() - begin) * 1000)
    cuts = statistics.quantiles(times, n=100)
    print(f"{name:<34}{statistics.median(times):>7.2f} ms{cuts[98]:>7.2f} ms")


def main() -> None:
    """Print both tables."""
    alone: dict[str, float] = {}
    processes: dict[str, float] = {}
    with _bench() as bench:
        _turn(bench, bench.in_this_process, alone)
    with _bench() as bench:
        outcome = _turn(bench, bench.as_a_process, processes)
        _compare_steps(alone, processes)
        bench.as_a_process("deploy", {"version": outcome["version"], "reason": "bench", "actor": "bench"})
        _compare_answers(bench, outcome["training"])


if __name__ == "__main__":
    main()
