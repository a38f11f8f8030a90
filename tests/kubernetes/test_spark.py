"""Spark on Kubernetes: a step's pod starts its executors as pods beside it, and all work is that of one machine."""

from __future__ import annotations

import json
import secrets
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from include.features.staging import FeaturesStage
from include.gates.suite import load_suite
from include.lake.table import LakeTable
from include.settings import PROJECT, Settings
from include.spec.pod_of import pod_of
from include.stack.postgres import Postgres
from include.training.candidates import train_candidates
from include.training.matrices import encode_part
from include.training.part_on_disk import read_part
from include.training.run import prepare_job
from include.training.training_set import assemble_training_set
from plugins.operators.pods.cluster import Cluster as PodCluster
from plugins.operators.pods.manifest import manifest_of
from plugins.operators.step import StepCommand
from tests.kubernetes.cluster import Cluster
from tests.kubernetes.kubectl import KUBERNETES, Kubectl, build, until
from tests.training.factories import make_definition, make_rows
from tests.training.lake import AS_OF, fill, with_suites

pytestmark = [pytest.mark.kubernetes, pytest.mark.by_turns, pytest.mark.database]

DRIVER = PROJECT / "tests" / "kubernetes" / "pods" / "spark_driver.py"
ENGINE = {"name": "spark", "executors": 2, "memory": "1Gi"}


@pytest.fixture(scope="module")
def lake(postgres: Postgres) -> Iterator[Settings]:
    """A lake in a folder of the node, with the definition and its suites; any user may write there."""
    folder = Path("/var/tmp") / f"noria-spark-{secrets.token_hex(3)}"
    name = f"test_{uuid.uuid4().hex[:12]}"
    postgres.create_database(name)
    try:
        settings = Settings.from_environment({"NORIA_HOME": str(folder), "NORIA_DATABASE_URL": postgres.url(name)})
        settings = with_suites(settings, folder)
        fill(settings, make_definition(), make_rows(6000))
        settings.models.mkdir()
        definition = make_definition(engine=ENGINE, pods={"default": {"cpu_request": 0.1}})
        text = definition.model_dump_json(exclude_unset=True)
        (settings.models / "late.yaml").write_text(text)
        shutil.copy(DRIVER, folder)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o777)
        yield settings
    finally:
        postgres.drop_database(name)
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Ran:
    """What a step's pod said at its end, and the most executors that ran at once."""

    said: dict[str, Any]
    executors: int


@pytest.fixture(scope="module")
def ran(cluster: Cluster, kubectl: Kubectl, namespace: str, lake: Settings) -> Ran:
    image = build(cluster, "steps-spark")
    kubectl("apply", "--namespace", namespace, "--filename", str(KUBERNETES / "components" / "spark" / "account.yaml"))
    name = kubectl(
        "create", "--namespace", namespace, "--filename", "-", "--output", "name", given=_pod(lake, image, namespace)
    )
    most = 0

    def status() -> dict[str, Any]:
        found: dict[str, Any] = kubectl.get(name.strip(), "--namespace", namespace)["status"]
        return found

    def done() -> bool:
        nonlocal most
        running = [pod for pod in _executors(kubectl, namespace) if pod["status"]["phase"] == "Running"]
        most = max(most, len(running))
        return bool(status()["phase"] in {"Succeeded", "Failed"})

    until(done, 400, f"{name} did not end", pause=0.5)
    said = kubectl("logs", name.strip(), "--namespace", namespace)
    assert status()["phase"] == "Succeeded", said
    return Ran(json.loads(said.splitlines()[-1]), most)


def test_two_executors_work_at_once_and_are_gone_at_the_end(ran: Ran, kubectl: Kubectl, namespace: str) -> None:
    assert ran.executors == 2
    until(lambda: not _executors(kubectl, namespace), 150, "executors are left")


def test_features_are_the_same_files_to_the_byte(ran: Ran, lake: Settings) -> None:
    raw, suite = LakeTable(lake, "late", "raw"), load_suite(lake, "late", "features").digest
    stage = FeaturesStage(lake, make_definition(), "on-the-machine", suite)
    here = {one.key: one.checksum for one in stage.stage(sorted(raw.partitions()), raw, {}, force=True)}
    assert ran.said["checksums"] == here


def test_the_training_set_is_written_in_pieces_and_the_model_is_as_good(ran: Ran, lake: Settings) -> None:
    definition = make_definition()
    whole = assemble_training_set(lake, definition, AS_OF)
    assert ran.said["rows"] == whole.rows
    assert "train-00001.parquet" in ran.said["files"]
    features = prepare_job(lake, definition, AS_OF, whole.reference(lake)).description["features"]
    train, validation = (encode_part(read_part(whole.directory, part), features) for part in ("train", "validation"))
    trained = train_candidates(definition, features, train, validation).trained
    assert ran.said["auc"] == pytest.approx(trained.curves["validation"]["auc"][trained.best_round - 1], abs=0.02)


def _executors(kubectl: Kubectl, namespace: str) -> list[dict[str, Any]]:
    selector = "app.kubernetes.io/name=noria-spark-executor"
    found: list[dict[str, Any]] = kubectl.get("pods", "--namespace", namespace, "--selector", selector)["items"]
    return found


def _pod(lake: Settings, image: str, namespace: str) -> str:
    """The pod of the step train as Airflow would make it, with the driver's script in place of one step."""
    folder = str(lake.home)
    template = {
        "spec": {
            "containers": [
                {
                    "name": "base",
                    "imagePullPolicy": "IfNotPresent",
                    "volumeMounts": [{"name": "lake", "mountPath": folder}],
                }
            ],
            "volumes": [{"name": "lake", "hostPath": {"path": folder}}],
        }
    }
    definition = make_definition(engine=ENGINE, pods={"default": {"cpu_request": 0.1}})
    command = StepCommand(
        step="train",
        model="late",
        as_of=AS_OF.isoformat(),
        run="spark",
        attempt=secrets.token_hex(8),
        inputs={},
        threads=1,
    )
    manifest = manifest_of(
        command, pod_of(definition, "prepare"), PodCluster(namespace=namespace, image=image), template
    )
    (container,) = manifest["spec"]["containers"]
    container["command"] = ["python", f"{folder}/{DRIVER.name}", "late", AS_OF.isoformat(), "900"]
    del container["args"]
    where = {
        "NORIA_STORE": str(lake.store),
        "NORIA_MODELS": str(lake.models),
        "NORIA_EXPECTATIONS": str(lake.expectations),
    }
    container["env"] += [{"name": key, "value": value} for key, value in where.items()]
    return json.dumps(manifest)
