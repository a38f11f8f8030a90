"""The flagship's whole life with every heavy step in a pod: Airflow on this machine, all else in the cluster.

It ends with the very model that local processes make, and what is killed in mid-pod does not run twice.
"""

from __future__ import annotations

import base64
import json
import os
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from include.lake.erased import ErasedKeys, ErasedKeysUnknown, block, erasure_digest
from include.privacy.key import EntityKey
from include.settings import Settings
from include.spec.loader import find_definition
from include.spec.windows import needed_partitions
from include.steps.catalog import LIGHT
from tests.bench.lab import Bench, open_bench
from tests.e2e.line import Document, Line
from tests.kubernetes.kubectl import Environment, Kubectl, make_secrets, manifests, namespaces
from tests.kubernetes.stage import GONE_SECONDS, wait_for, works

pytestmark = [pytest.mark.kubernetes, pytest.mark.by_turns]
MODEL = "flight_delay"
HEAVY = {"ingest", "gate", "publish", "prepare", "assemble", "train", "evaluate", "verify", "monitor"}


@dataclass(frozen=True)
class ClusterLine(Line):
    """The stack whose heavy steps run in pods.

    :param template: file of the pod that all step pods start from.
    """

    environment: Environment = field(kw_only=True)
    template: Path = field(kw_only=True)

    @property
    def hashing_key(self) -> Path:
        """The server's hashing key, as a file for the light steps, which run on this machine."""
        return self.home / "hashing.key"

    @property
    def variables(self) -> dict[str, str]:
        settings = self.environment.settings(self.home / "noria")
        extra = {
            "namespace": self.environment.steps,
            "image": "localhost/noria-steps:test",
            "kube_config_path": self.environment.kubectl.kubeconfig,
            "pod_template": str(self.template),
        }
        return {
            **os.environ,
            "NORIA_STEP_MODE": "kubernetes",
            "NORIA_HOME": str(settings.home),
            "NORIA_STORE": str(settings.store),
            "NORIA_DATABASE_URL": settings.database_url,
            "NORIA_TRACKING_URL": settings.tracking_url,
            "NORIA_SERVER_URL": settings.server_url,
            "NORIA_SERVER_TOKEN": str(settings.server_token),
            "NORIA_SIGNING_KEY": str(settings.signing_key),
            "NORIA_TRUSTED_KEYS": str(settings.trusted_keys),
            "NORIA_HASHING_KEY": str(self.hashing_key),
            "AIRFLOW_CONN_NORIA_KUBERNETES": json.dumps({"conn_type": "kubernetes", "extra": extra}),
        }


class Pods:
    """The step pods that there ever were, noted as they come."""

    def __init__(self, core: Any, namespace: str) -> None:
        self._core = core
        self._namespace = namespace
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.seen: dict[str, Any] = {}

    def __enter__(self) -> Pods:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.2):
            for pod in self.there():
                self.seen[pod.metadata.name] = pod

    def there(self) -> list[Any]:
        found: list[Any] = self._core.list_namespaced_pod(self._namespace).items
        return found

    def running(self, step: str) -> Any:
        """A pod of the step that works now."""

        def look() -> Any:
            return next((pod for pod in self.there() if pod.metadata.labels["step"] == step and works(pod)), None)

        return wait_for(look, 300, f"a pod of {step}")

    def none_left(self) -> None:
        """Wait until the last one, which may be ending, is gone."""
        wait_for(lambda: not self.there(), GONE_SECONDS, "the end of all step pods")


@pytest.fixture(scope="module")
def environment(kubectl: Kubectl, serving_image: str, steps_image: str, postgres_image: str) -> Iterator[Environment]:
    with namespaces(kubectl, "life") as made:
        kubectl("apply", "--filename", "-", given=manifests(made.name))
        make_secrets(made)
        made.wait()
        yield made


@pytest.fixture(scope="module")
def line(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterLine]:
    folder = tmp_path_factory.mktemp("line")
    maps = environment.kubectl.get("configmap", "noria-pod-template", "--namespace", f"{environment.name}-airflow")
    template = folder / "pod-template.yaml"
    template.write_text(maps["data"]["pod-template.yaml"])
    made = ClusterLine(home=folder, environment=environment, template=template)
    secret = environment.kubectl.get("secret", "noria-serving", "--namespace", environment.name)
    made.hashing_key.write_bytes(base64.b64decode(secret["data"]["hashing.key"]))
    before = os.umask(0)  # light steps and pods are different users here, and share the store
    try:
        yield made
    finally:
        made.command("clean")
        os.umask(before)


@pytest.fixture(scope="module")
def pods(core: Any, environment: Environment) -> Iterator[Pods]:
    with Pods(core, environment.steps) as watched:
        yield watched


@pytest.fixture(scope="module")
def first(line: ClusterLine, pods: Pods) -> Document:
    """What `make run` tells of the life of a model of which a key was erased before: nobody's, so nothing changes."""
    settings = Settings.from_environment(line.variables)
    key = EntityKey.read(find_definition(settings, MODEL), json.dumps({"carrier": "nobody's"}))
    block(settings, MODEL, key.columns, erasure_digest(settings, key.values))
    done = line.command("run", "--model", MODEL, seconds=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return line.summary(MODEL)


def test_the_model_lives_its_whole_life_in_the_cluster(line: ClusterLine, first: Document) -> None:
    assert first["decision"]["promote"] is True
    assert first["deployment"]["promote"]["version"] == first["version"] == first["served"]["version"]
    assert {gate["verdict"] for gate in first["gates"].values()} == {"passed"}
    settings = line.settings
    headers = {"Authorization": f"Bearer {settings.server_token}"}
    answer = requests.get(f"{settings.server_url}/models/{MODEL}", headers=headers, timeout=10).json()
    assert answer["version"] == first["version"]


def test_every_heavy_step_ran_in_a_pod_and_no_light_one(first: Document, pods: Pods) -> None:
    steps = {pod.metadata.labels["step"] for pod in pods.seen.values()}
    assert steps >= HEAVY
    assert not steps & LIGHT
    for pod in pods.seen.values():
        assert pod.metadata.labels.keys() >= {"model", "step", "run", "as_of"}


def test_steps_in_pods_know_the_keys_that_were_erased(first: Document, line: ClusterLine, pods: Pods) -> None:
    """They have read the block list, which no process without the key that it was made with can do."""
    with pytest.raises(ErasedKeysUnknown):
        ErasedKeys.of(replace(line.settings, hashing_key=None), MODEL)
    assert {"ingest", "prepare"} <= {pod.metadata.labels["step"] for pod in pods.seen.values()}


def test_no_pod_is_left(first: Document, pods: Pods) -> None:
    pods.none_left()


def test_the_model_is_the_one_that_local_processes_make(first: Document, line: ClusterLine) -> None:
    [made] = line.rows(
        "SELECT artifact_digest, as_of FROM model_version WHERE model = :model AND version = :version",
        model=MODEL,
        version=first["version"],
    )
    with open_bench() as bench:
        at = replace(bench, as_of=datetime.fromisoformat(str(first["as_of"])))
        assert trained_here(at)["artifact_digest"] == made["artifact_digest"]


def trained_here(bench: Bench) -> Document:
    """The same training as local processes, on data that they ingest anew."""
    run = bench.as_a_process
    keys = [partition.key for partition in needed_partitions(bench.definition, bench.as_of)]
    staged = run("ingest", {"first": keys[0], "last": keys[-1]})
    raw = run("publish", {"gate": run("gate", {"stage": "raw", "staged": staged})})
    prepared = run("prepare", {"published": raw})
    run("publish", {"gate": run("gate", {"stage": "features", "staged": prepared})})
    return run("train", {"training_set": run("assemble", {})})


def test_a_scheduler_that_is_killed_in_mid_pod_finds_the_pod_again(
    line: ClusterLine, first: Document, pods: Pods
) -> None:
    run = "killed-scheduler"
    line.trigger(f"{MODEL}.train", run, {"as_of": "2013-12-11T00:00:00-05:00"})
    pod = pods.running("train")
    scheduler = psutil.Process(line.stack.instance.processes["scheduler"].pid)
    for process in [scheduler, *scheduler.children(recursive=True)]:
        process.kill()
    up = line.command("up")
    assert up.returncode == 0, up.stdout + up.stderr
    state = line.finish(f"{MODEL}.train", run, seconds=600)
    assert state == "success", line.tasks(f"{MODEL}.train", run)
    same_run = [one for one in pods.seen.values() if one.metadata.labels["run"] == pod.metadata.labels["run"]]
    assert Counter(one.metadata.labels["step"] for one in same_run)["train"] == 1
    pods.none_left()
