"""Plays steps in pods by ``pods/pod_dag.py`` in processes of their own, and reads what they say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from include.settings import PROJECT
from tests.kubernetes.probe import IMAGE

SCRIPT = PROJECT / "tests" / "kubernetes" / "pods" / "pod_dag.py"
GONE_SECONDS = 150.0
"""A kubelet reports the end of a pod, whose containers are long gone, at its next full look: that may take a minute."""


@dataclass(frozen=True)
class Played:
    """How a play ended, and all that its task has said."""

    outcome: Mapping[str, Any]
    text: str

    def __getattr__(self, name: str) -> Any:
        return self.outcome[name]


@dataclass(frozen=True)
class Stage:
    """Where steps are played.

    :param core: client of the cluster, as its administrator.
    :param namespace: namespace of their pods.
    :param folder: for definitions and logs.
    :param environment: of the processes.
    """

    core: Any
    namespace: str
    folder: Path
    environment: Mapping[str, str]
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def told(
        self,
        run: str,
        *,
        pods: Mapping[str, Any] | None = None,
        connection: Mapping[str, Any] | None = None,
        **inputs: Any,
    ) -> dict[str, Any]:
        """A play: inputs of the probe, keys of its pod, keys of the connection's extra."""
        models = self.folder / run
        models.mkdir(exist_ok=True)
        text = (PROJECT / "include" / "models" / "flight_delay.yaml").read_text()
        default = {"memory": "128Mi", "cpu": 0.5, "cpu_request": 0.1, "ephemeral_storage": "64Mi", **(pods or {})}
        section = yaml.safe_dump({"pods": {"default": default}})
        (models / "flight_delay.yaml").write_text(f"{text}\n{section}")
        extra = {"namespace": self.namespace, "image": IMAGE, "deferrable": False, **(connection or {})}
        return {"run": run, "models": str(models), "connection": extra, "inputs": inputs}

    def start(self, *plays: Mapping[str, Any]) -> Process:
        """Begin to play; the process can be disturbed meanwhile."""
        log = self.folder / f"{plays[0]['run']}-{time.monotonic_ns()}.log"
        told = log.with_suffix(".json")
        told.write_text(json.dumps(plays))
        with log.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, str(SCRIPT), str(told)],
                cwd=PROJECT,
                env=dict(self.environment),
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(process)
        return Process(process, log)

    def close(self) -> None:
        """End what a failed test has left."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def pods(self, run: str | None = None) -> list[Any]:
        """The step pods that there are, of one run or of all."""
        selector = f"run={run}" if run else "app.kubernetes.io/name=noria-step"
        found: list[Any] = self.core.list_namespaced_pod(self.namespace, label_selector=selector).items
        return found

    def running(self, run: str, seconds: float = 150) -> Any:
        """The run's pod, once its step works."""
        return wait_for(lambda: next((pod for pod in self.pods(run) if works(pod)), None), seconds, f"the pod of {run}")

    def says(self, pod: Any, words: str, seconds: float = 60) -> None:
        """Wait until a pod's step has said something."""
        read = self.core.read_namespaced_pod_log
        wait_for(
            lambda: words in read(pod.metadata.name, self.namespace, container="base"), seconds, f"the words {words!r}"
        )

    def gone(self, run: str | None = None) -> None:
        """Wait until nothing is left."""
        wait_for(lambda: not self.pods(run), GONE_SECONDS, f"the end of the pods of {run}")


@dataclass(frozen=True)
class Process:
    """A process that plays."""

    process: subprocess.Popen[bytes]
    log: Path

    def outcomes(self, seconds: float = 300) -> dict[str, Played]:
        """How its plays ended, by their runs."""
        code = self.process.wait(timeout=seconds)
        text = self.log.read_text()
        assert code == 0, text[-6000:]
        line = next(line for line in text.splitlines() if line.startswith("OUTCOMES "))
        found = json.loads(line.removeprefix("OUTCOMES "))
        return {run: Played(outcome, _between(text, run)) for run, outcome in found.items()}

    def only(self, seconds: float = 300) -> Played:
        """How its one play ended."""
        (played,) = self.outcomes(seconds).values()
        return played


def _between(text: str, run: str) -> str:
    return text.split(f"=== {run} begins")[1].split(f"=== {run} ends")[0]


def works(pod: Any) -> bool:
    """Whether the step's container runs."""
    statuses = pod.status.container_statuses or []
    return pod.metadata.deletion_timestamp is None and any(
        one.name == "base" and one.state.running is not None for one in statuses
    )


def wait_for(look: Callable[[], Any], seconds: float, what: str) -> Any:
    """What ``look`` finds, as soon as it is something."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"after {seconds:.0f} s in vain: {what}")


def environment(kubeconfig: Path, database_url: str, folder: Path) -> dict[str, str]:
    """Variables of a process with an Airflow of its own, in pod mode."""
    return {
        **os.environ,
        "KUBECONFIG": str(kubeconfig),
        "PYTHONPATH": str(PROJECT),
        "PYTHONWARNINGS": "ignore",
        "PYTHONUNBUFFERED": "1",
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database_url,
        "AIRFLOW__CORE__DAGS_FOLDER": str(SCRIPT.parent),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "NORIA_STEP_MODE": "kubernetes",
        "NORIA_HOME": str(folder / "home"),
        # It must be in no pod: secrets come from Secrets alone.
        "NORIA_DATABASE_URL": "postgresql+psycopg2://noria:word-of-airflow@db/noria",
    }


def migrate(variables: Mapping[str, str], folder: Path) -> None:
    """Make the metadata database."""
    pools = folder / "pools.yaml"
    pools.write_text("airflow: {pools: []}")
    done = subprocess.run(
        [sys.executable, "-m", "plugins.settings_loader", "--migrate", str(pools)],
        cwd=PROJECT,
        env=dict(variables),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
