"""Faults around a step's pod on a real cluster: killed workers and tasks, a deaf step, an API server that goes away."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.kubernetes.cluster import Cluster
from tests.kubernetes.stage import GONE_SECONDS, Stage, wait_for

pytestmark = [pytest.mark.kubernetes, pytest.mark.database]
DEFERRED = {"deferrable": True, "defer_after": 0}


def test_after_a_workers_death_the_next_try_finds_the_pod_again(stage: Stage) -> None:
    told = stage.told("orphan", sleep=25)
    first = stage.start(told)
    pod = stage.running("orphan")
    os.killpg(first.process.pid, signal.SIGKILL)
    first.process.wait()
    played = stage.start({**told, "lost_first": True}).only()
    assert (played.state, played.tries) == ("success", 2), played.text[-4000:]
    assert played.pod["name"] == pod.metadata.name, "the step was not run twice"
    assert played.output["attempt"] == pod.metadata.annotations["noria/attempt"], "its attempt kept its name"
    stage.gone("orphan")


def test_a_result_that_came_while_no_worker_lived_is_taken_and_not_made_again(stage: Stage) -> None:
    told = stage.told("late", sleep=3)
    first = stage.start(told)
    pod = stage.running("late")
    os.killpg(first.process.pid, signal.SIGKILL)
    first.process.wait()
    wait_for(lambda: _ended(stage, pod.metadata.name), 30, "the end of the step")
    played = stage.start({**told, "lost_first": True}).only()
    assert played.state == "success", played.text[-4000:]
    assert played.output["attempt"] == pod.metadata.annotations["noria/attempt"]
    stage.gone("late")


def test_an_orphan_with_other_inputs_is_deleted_and_not_taken_for_this_run(stage: Stage) -> None:
    first = stage.start(stage.told("changed", sleep=120, version=1))
    pod = stage.running("changed")
    os.killpg(first.process.pid, signal.SIGKILL)
    first.process.wait()
    played = stage.start({**stage.told("changed", version=2), "lost_first": True}).only()
    assert played.output["inputs"] == {"version": 2}
    assert played.pod["name"] != pod.metadata.name
    stage.gone("changed")


def _ended(stage: Stage, name: str) -> bool:
    pod = stage.core.read_namespaced_pod(name, stage.namespace)
    return any(one.name == "base" and one.state.terminated for one in pod.status.container_statuses)


@pytest.mark.parametrize("deaf", [False, True])
def test_a_killed_task_leaves_no_pod_even_if_its_step_ignores_sigterm(stage: Stage, deaf: bool) -> None:
    run = f"killed-{'deaf' if deaf else 'polite'}"
    process = stage.start(stage.told(run, sleep=300, deaf=deaf, say=["at work"]))
    pod = stage.running(run)
    stage.says(pod, "printed at work")
    os.kill(process.process.pid, signal.SIGTERM)  # what Airflow's supervisor sends to the task
    # A step that ignores it would stay for Kubernetes' own grace of 30 s otherwise.
    wait_for(lambda: _grace(stage, pod.metadata.name) < 30, 20, "the pod's order to end soon")
    wait_for(lambda: _is_gone(stage, pod.metadata.name), GONE_SECONDS, "the end of the pod")
    os.killpg(process.process.pid, signal.SIGKILL)
    process.process.wait()
    for left in stage.pods(run):  # of the retry, which Airflow would not have made
        stage.core.delete_namespaced_pod(left.metadata.name, stage.namespace)
    stage.gone(run)


def _grace(stage: Stage, name: str) -> float:
    """Seconds that a pod has for its end: endless if nobody has told it to end, none if it is gone."""
    found = [pod.metadata for pod in stage.pods() if pod.metadata.name == name]
    if not found:
        return 0.0
    return math.inf if found[0].deletion_timestamp is None else float(found[0].deletion_grace_period_seconds)


def _is_gone(stage: Stage, name: str) -> bool:
    return name not in {pod.metadata.name for pod in stage.pods()}


@pytest.fixture
def connected(stage: Stage, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process has the connection too."""
    extra = {"namespace": stage.namespace, "image": "unused", "kube_config_path": str(cluster.kubeconfig)}
    monkeypatch.setenv("AIRFLOW_CONN_NORIA_KUBERNETES", json.dumps({"conn_type": "kubernetes", "extra": extra}))


@pytest.mark.usefixtures("connected")
def test_a_task_whose_trigger_has_failed_leaves_no_pod(stage: Stage) -> None:
    """Airflow resumes such a task only to let it fail."""
    from airflow.sdk.exceptions import TaskDeferralError

    from plugins.operators.step import StepOperator

    process = stage.start(stage.told("lost-trigger", connection=DEFERRED, sleep=300))
    stage.running("lost-trigger")
    os.killpg(process.process.pid, signal.SIGKILL)
    process.process.wait()
    ti = SimpleNamespace(dag_id="pods", task_id="step", run_id="lost-trigger", map_index=-1, try_number=1)
    step = StepOperator(task_id="step", model="flight_delay", step="score", as_of="2013-10-01T00:00:00-04:00")
    context: Any = {"ti": ti, "run_id": ti.run_id, "params": {}, "dag": SimpleNamespace()}
    with pytest.raises(TaskDeferralError):
        step.resume_execution("__fail__", {"error": "Trigger failure"}, context)
    stage.gone("lost-trigger")


@pytest.mark.usefixtures("connected")
def test_a_task_that_is_killed_while_it_is_deferred_leaves_no_pod(stage: Stage) -> None:
    """The triggerer calls ``on_kill`` of the trigger when a person clears or marks a deferred task."""
    from plugins.operators.pods.trigger import StepPodTrigger

    process = stage.start(stage.told("deferred-kill", connection=DEFERRED, sleep=300))
    pod = stage.running("deferred-kill")
    os.killpg(process.process.pid, signal.SIGKILL)
    process.process.wait()

    def trigger(try_label: str) -> Any:
        return StepPodTrigger(pod.metadata.name, stage.namespace, 60.0, False, "0:0:0", try_label)

    asyncio.run(trigger("2").on_kill())
    assert not _is_gone(stage, pod.metadata.name), "a pod that another try has taken up is left alone"
    assert stage.core.read_namespaced_pod(pod.metadata.name, stage.namespace).metadata.deletion_timestamp is None
    asyncio.run(trigger("1").on_kill())
    stage.gone("deferred-kill")


@pytest.mark.parametrize("mode", ["worker", "triggerer"])
def test_a_step_survives_an_api_server_that_is_away_for_twenty_seconds(
    stage: Stage, cluster: Cluster, mode: str
) -> None:
    server = cluster.kubeconfig.parent / "run" / "kube-apiserver.pid"
    if not server.is_file():
        pytest.skip("only the API server of the project's own test cluster may be stopped")
    process = stage.start(stage.told(f"away-{mode}", connection=DEFERRED if mode == "triggerer" else {}, sleep=10))
    pod = stage.running(f"away-{mode}")
    _stop_for(server, 20)
    played = process.only()
    assert (played.state, played.tries) == ("success", 1), played.text[-4000:]
    assert played.pod["name"] == pod.metadata.name
    assert "does not answer" in played.text
    assert played.text.count("Traceback") == 0
    stage.gone(f"away-{mode}")


def _stop_for(pid_file: Path, seconds: float) -> None:
    """Kill the API server, and start it again with the same words."""
    pid = int(pid_file.read_text())
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
    os.kill(pid, signal.SIGKILL)
    time.sleep(seconds)
    with (pid_file.parents[1] / "log" / "kube-apiserver.log").open("ab") as log:
        again = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
    pid_file.write_text(f"{again.pid}\n")
