"""Killed processes: `make run` again completes, with no row twice and no half-registered version."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pytest
import requests
import yaml

from include.lake.table import LakeTable
from include.settings import PROJECT
from include.stack.airflow_api import FINISHED
from include.stack.processes import wait_for_end
from tests.e2e.line import Line, wait
from tests.e2e.models import relax_training_suite, shorten
from tests.e2e.staged import champion, ledger, register_variant, traffic, with_stages

pytestmark = [pytest.mark.faults, pytest.mark.by_turns]

MODEL = "flights_faulty"


@pytest.fixture(scope="module")
def faulty(line: Line) -> str:
    """A small model that no other test uses."""
    line.define(MODEL, "flight_delay", shorten)
    relax_training_suite(line.home / "expectations", MODEL)
    line.land_flights()
    line.wait_for_dag(f"{MODEL}.retire")
    return MODEL


def test_a_killed_step_is_tried_again_and_a_killed_scheduler_is_replaced(line: Line, faulty: str) -> None:
    with _run_in_background(line) as run:
        _kill(_step_process(line, "prepare", run), signal.SIGKILL)
        _kill_scheduler_during(line, "train", run)
    assert _attempts(line, "data", "prepare") == 2
    _run_completes(line)
    _nothing_is_doubled_or_half_done(line, versions=1)


def test_a_killed_postgres_is_started_again_and_the_run_completes(line: Line, faulty: str) -> None:
    _train_another_way(line, seed=8)
    before = len(_registered(line))
    with _run_in_background(line) as run:
        step = _step_process(line, "train", run)
        postmaster = int((line.stack.postgres.data / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGKILL)
        wait_for_end([step], 60)
    _run_completes(line)
    _nothing_is_doubled_or_half_done(line, versions=before + 1)


def test_what_ends_is_started_again_and_a_training_goes_on_with_nobody_near(line: Line, faulty: str) -> None:
    _train_another_way(line, seed=9)
    before = len(_registered(line))
    conf = line.api.runs(f"{MODEL}.train")[0]["conf"]
    line.trigger(f"{MODEL}.train", "left-alone", conf)
    _step_process(line, "train")
    killed = ("api-server", "scheduler", "triggerer", "warm-parent")
    for service in killed:
        _kill(psutil.Process(line.stack.instance.processes[service].pid), signal.SIGKILL)
    state = _finish_through_outages(line, f"{MODEL}.train", "left-alone")
    assert state == "success", line.tasks(f"{MODEL}.train", "left-alone")
    _nothing_is_doubled_or_half_done(line, versions=before + 1)
    again = {name: process.again for name, process in line.stack.instance.processes.items()}
    assert min(again[service] for service in killed) >= 1
    assert "started again" in line.command("status").stdout


def test_a_killed_postgres_is_started_again_with_nobody_near(line: Line, faulty: str) -> None:
    postmaster = line.stack.postgres.data / "postmaster.pid"
    before = int(postmaster.read_text().split()[0])
    _kill(psutil.Process(before), signal.SIGKILL)
    wait(lambda: line.command("status").returncode == 0, 240, lambda: line.command("status").stdout)
    assert int(postmaster.read_text().split()[0]) != before


def test_the_server_answers_while_database_and_mlflow_are_down(line: Line, faulty: str) -> None:
    address = f"{line.settings.server_url}/models/{MODEL}"
    before = requests.get(address, timeout=5).json()["version"]
    mlflow = line.stack.instance.processes["mlflow"].pid
    _kill(psutil.Process(mlflow), signal.SIGKILL)
    line.stack.postgres.stop()
    try:
        assert requests.get(address, timeout=5).json()["version"] == before
    finally:
        restored = line.command("up")
    assert restored.returncode == 0, restored.stdout + restored.stderr
    assert requests.get(address, timeout=5).json()["version"] == before


def test_a_deployment_goes_on_after_scheduler_and_server_were_killed_in_its_canary(
    line: Line, faulty: str, tmp_path: Path
) -> None:
    model = "flights_canary"
    line.define(model, "flight_delay", with_stages)
    line.wait_for_dag(f"{model}.deploy")
    first = register_variant(line, model, tmp_path / "first", of=MODEL, version=1, days=0)
    line.trigger(f"{model}.deploy", "first", {"version": first, "reason": "a start", "actor": "ana"})
    assert line.finish(f"{model}.deploy", "first") == "success"
    second = register_variant(line, model, tmp_path / "second", of=MODEL, version=1, days=1)
    with traffic(line, model):
        line.trigger(f"{model}.deploy", "second", {"version": second, "reason": "a try", "actor": "ana"})
        wait(lambda: ledger(line, model)[-1]["state"].get("canary") == second, 180, "the canary never began")
        for service in ("scheduler", "server"):
            _kill(psutil.Process(line.stack.instance.processes[service].pid), signal.SIGKILL)
        restored = line.command("up")
        assert restored.returncode == 0, restored.stdout + restored.stderr
        ended = line.finish(f"{model}.deploy", "second")
    assert (ended, champion(line, model)) in {("success", second), ("failed", first)}
    assert ledger(line, model)[-1]["action"] == ("promote" if ended == "success" else "rollback")


@contextmanager
def _run_in_background(line: Line) -> Iterator[subprocess.Popen[bytes]]:
    """A `make run` that somebody interrupts: it is killed at the end of the block."""
    with (line.home / "background.log").open("ab") as log:
        command = [sys.executable, "-m", "include.stack", "run", "--model", MODEL]
        run = subprocess.Popen(command, env=line.variables, cwd=PROJECT, stdout=log, stderr=log)
        try:
            yield run
        finally:
            run.kill()
            run.wait()


def _train_another_way(line: Line, seed: int) -> None:
    """The next training makes a version that is not there yet."""
    definition = line.home / "models" / f"{MODEL}.yaml"
    document = yaml.safe_load(definition.read_text())
    document["training"]["seed"] = seed
    definition.write_text(yaml.safe_dump(document, sort_keys=False))


def _finish_through_outages(line: Line, dag_id: str, run_id: str) -> str:
    state = ""

    def ended() -> bool:
        nonlocal state
        with suppress(requests.RequestException):
            state = line.state(dag_id, run_id)
        return state in FINISHED

    wait(ended, 300, lambda: f"{dag_id} is {state}; {line.command('status').stdout}")
    return state


def _step_process(line: Line, step: str, run: subprocess.Popen[bytes] | None = None) -> psutil.Process:
    """The process of a step, which the warm parent has forked, as soon as there is one."""
    found: list[psutil.Process] = []

    def runs() -> bool:
        assert run is None or run.poll() is None, "the run ended before the fault"
        found[:] = [process for process in psutil.process_iter() if _is_step(line, process, step)]
        return bool(found)

    wait(runs, 180, f"the step {step} never ran")
    return found[0]


def _is_step(line: Line, process: psutil.Process, step: str) -> bool:
    try:
        return process.name() == f"noria-{step}" and process.environ().get("NORIA_HOME") == str(line.settings.home)
    except psutil.Error:
        return False


def _kill(process: psutil.Process, number: signal.Signals) -> None:
    process.send_signal(number)
    wait_for_end([process], 10)


def _kill_scheduler_during(line: Line, step: str, run: subprocess.Popen[bytes]) -> None:
    _step_process(line, step, run)
    _kill(psutil.Process(line.stack.instance.processes["scheduler"].pid), signal.SIGKILL)


def _attempts(line: Line, family: str, task: str) -> int:
    run = line.api.runs(f"{MODEL}.{family}")[0]["dag_run_id"]
    return line.tasks(f"{MODEL}.{family}", run)[task].attempt


def _run_completes(line: Line) -> None:
    done = line.command("run", "--model", MODEL)
    assert done.returncode == 0, done.stdout + done.stderr
    served = line.summary(MODEL)["served"]["version"]
    champions = line.rows("SELECT version FROM deployment_state WHERE model = :m AND role = 'champion'", m=MODEL)
    assert [row["version"] for row in champions] == [served]


def _nothing_is_doubled_or_half_done(line: Line, versions: int) -> None:
    registered = _registered(line)
    assert len(registered) == len({row["fingerprint"] for row in registered}) == versions
    address = f"{line.settings.tracking_url}/api/2.0/mlflow/model-versions/search"
    answer = requests.get(address, params={"filter": f"name='{MODEL}'"}, timeout=30).json()
    in_mlflow = {(int(item["version"]), item["run_id"]) for item in answer["model_versions"]}
    assert in_mlflow == {(row["version"], row["run_id"]) for row in registered}
    published = LakeTable(line.settings, MODEL, "raw").partitions()
    assert {key: record.rows for key, record in published.items()} == {
        key: _rows_of(line.settings.store / "landing" / "flights" / f"{key}.parquet") for key in published
    }


def _registered(line: Line) -> list[dict[str, Any]]:
    return line.rows("SELECT version, fingerprint, run_id FROM model_version WHERE model = :m", m=MODEL)


def _rows_of(file: Path) -> int:
    return int(duckdb.sql(f"SELECT count(*) FROM read_parquet('{file}')").fetchall()[0][0])
