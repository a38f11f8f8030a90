"""A stack of the test session's own: its home, definitions, suites and DAG files are copies that tests may change."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import requests
import sqlalchemy as sa
import yaml

from include.settings import PROJECT, Settings
from include.stack.airflow_api import FINISHED, AirflowApi, TaskState
from include.stack.environment import Stack
from include.stack.instance import load_instance

Document = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """The running stack as tests see it."""

    home: Path

    @property
    def variables(self) -> dict[str, str]:
        """Environment of the commands, as a person with a folder of their own would set it."""
        folders = {f"NORIA_{name.upper()}": str(self.home / name) for name in ("models", "expectations", "dags")}
        return {**os.environ, "NORIA_HOME": str(self.home / "noria"), **folders}

    @property
    def settings(self) -> Settings:
        """Settings with the real addresses."""
        return self.stack.settings

    @property
    def stack(self) -> Stack:
        """The stack as it was last started."""
        settings = Settings.from_environment(self.variables)
        instance = load_instance(settings.home)
        assert instance is not None, "the stack was never started"
        return Stack.of(settings, instance)

    @cached_property
    def api(self) -> AirflowApi:
        """Airflow's REST API."""
        return AirflowApi(self.stack.airflow_url)

    def copy_project(self) -> None:
        """Definitions, suites and DAG files of the project, where tests may change them."""
        shutil.copytree(PROJECT / "include" / "models", self.home / "models")
        shutil.copytree(PROJECT / "expectations", self.home / "expectations")
        shutil.copytree(PROJECT / "dags", self.home / "dags", ignore=shutil.ignore_patterns("__pycache__"))

    def command(self, *words: str, seconds: float = 540) -> subprocess.CompletedProcess[str]:
        """``python -m include.stack …`` as a person runs it.

        The test fails with what was said so far if it takes longer: before pytest ends a test that hangs.
        """
        try:
            return subprocess.run(
                [sys.executable, "-m", "include.stack", *words],
                env=self.variables,
                cwd=PROJECT,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            said = (late.stdout or b"") + (late.stderr or b"")  # bytes, whatever was asked for
            raise AssertionError(
                f"{' '.join(words)} has not ended after {seconds:.0f} s; it said:\n{said.decode(errors='replace')}"
            ) from None

    def airflow(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Airflow's own command line."""
        return self.command("exec", "airflow", *words, seconds=120)

    def step(self, step: str, model: str, as_of: str, inputs: Mapping[str, object]) -> Document:
        """A step as a person runs it at a shell; its output."""
        result = self.home / f"{step}-{model}.json"
        words = ["--model", model, "--as-of", as_of, "--inputs", json.dumps(inputs)]
        done = subprocess.run(
            [sys.executable, "-m", "include.steps", step, *words],
            env={**self.stack.environment(), "NORIA_RESULT": str(result)},
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return dict(json.loads(result.read_text()))

    def land_flights(self) -> None:
        """The flagship's source files, if no run has landed them yet."""
        landed = self.command("exec", "python", "-m", "include.datasets", "flight_delay")
        assert landed.returncode == 0, landed.stdout + landed.stderr

    def summary(self, model: str) -> Document:
        """What the last ``run`` of a model wrote."""
        return dict(json.loads((self.settings.home / "runs" / f"{model}.json").read_text()))

    def define(self, name: str, base: str, change: Callable[[Document], None]) -> None:
        """A new model: a base definition with changes, its suites, its DAG file."""
        document = yaml.safe_load((self.home / "models" / f"{base}.yaml").read_text())
        document["model"] = name
        change(document)
        (self.home / "models" / f"{name}.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
        shutil.copytree(self.home / "expectations" / base, self.home / "expectations" / name, dirs_exist_ok=True)
        shutil.copy(self.home / "dags" / f"{base}.py", self.home / "dags" / f"{name}.py")

    def wait_for_dag(self, dag_id: str, seconds: float = 90) -> None:
        """Until Airflow has parsed it."""
        wait(lambda: self.api.has_dag(dag_id), seconds, f"Airflow never saw {dag_id}")

    def connect_webhook(self, name: str, port: int) -> None:
        """An Airflow connection to a webhook of the test's own."""
        body = {"connection_id": name, "conn_type": "http", "host": "127.0.0.1", "port": port}
        self.api.call("POST", "/connections", json=body)

    def trigger(self, dag_id: str, run_id: str, conf: Mapping[str, object]) -> None:
        """Start a run by the REST API."""
        self.api.trigger(dag_id, run_id, conf)

    def finish(self, dag_id: str, run_id: str, seconds: float = 240) -> str:
        """Wait for its end; the final state."""

        def stuck() -> str:
            tasks = {name: task.state for name, task in self.tasks(dag_id, run_id).items()}
            return f"{dag_id} {run_id} did not end: {tasks}"

        state = ""

        def ended() -> bool:
            nonlocal state
            with suppress(requests.Timeout):  # of a machine that is busy; the deadline is ours
                state = self.state(dag_id, run_id)
            return state in FINISHED

        wait(ended, seconds, stuck)
        return state

    def state(self, dag_id: str, run_id: str) -> str:
        """State of a run."""
        return str(self.api.run(dag_id, run_id)["state"])

    def tasks(self, dag_id: str, run_id: str) -> dict[str, TaskState]:
        """Its tasks by name."""
        return {task.task: task for task in self.api.tasks(dag_id, run_id)}

    def rows(self, statement: str, **parameters: object) -> list[dict[str, Any]]:
        """Rows of Noria's database."""
        return _rows(self.settings.database_url, statement, parameters)

    def airflow_rows(self, statement: str, **parameters: object) -> list[dict[str, Any]]:
        """Rows of Airflow's database, for what its REST API does not tell."""
        return _rows(self.stack.postgres.url("airflow"), statement, parameters)


def _rows(url: str, statement: str, parameters: Mapping[str, object]) -> list[dict[str, Any]]:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(sa.text(statement), parameters).mappings()]


def wait(condition: Callable[[], bool], seconds: float, message: str | Callable[[], str]) -> None:
    """Ask until it is true; fail with the message when the time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, message if isinstance(message, str) else message()
        time.sleep(0.3)
