"""Versions against runs: each version is one row, one MLflow version, one finished run, one artifact that is whole."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow.artifacts
from mlflow.tracking import MlflowClient

from include.training.package import artifact_digest
from tests.chaos.case import Breach
from tests.chaos.invariants.scene import Scene

Row = dict[str, Any]


def check(scene: Scene) -> Iterator[Breach]:
    """Rows beside MLflow's versions, runs and files."""
    rows = {row["version"]: row for row in scene.rows("SELECT * FROM model_version WHERE model = :m")}
    client = MlflowClient(scene.settings.tracking_url)
    found = {int(item.version): item for item in client.search_model_versions(f"name = '{scene.model}'")}
    for version in sorted(found.keys() - rows.keys()):
        yield Breach("versions/row", f"MLflow has version {version}, which no row knows")
    for version in sorted(rows.keys() - found.keys()):
        yield Breach("versions/mlflow", f"version {version} has a row, MLflow does not have it")
    for version in sorted(rows.keys() & found.keys()):
        yield from _same(rows[version], found[version])
        yield from _run(scene, client, rows[version])
        yield from _artifact(scene, rows[version])
    doubled = [made for made, count in Counter(row["fingerprint"] for row in rows.values()).items() if count > 1]
    tagged = Counter(item.tags.get("noria.fingerprint") for item in found.values())
    for fingerprint in sorted({*doubled, *(str(tag) for tag, count in tagged.items() if count > 1)}):
        yield Breach("versions/fingerprint", f"{fingerprint} was registered more than once")


def _same(row: Row, version: Any) -> Iterator[Breach]:
    told = (version.run_id, version.tags.get("noria.fingerprint"), version.tags.get("noria.artifact_digest"))
    wanted = (row["run_id"], row["fingerprint"], row["artifact_digest"])
    if told != wanted:
        yield Breach("versions/same", f"version {row['version']} is {wanted} in its row and {told} in MLflow")


def _run(scene: Scene, client: MlflowClient, row: Row) -> Iterator[Breach]:
    finished = scene.known.setdefault("finished", set())
    if row["run_id"] in finished:
        return
    status = client.get_run(row["run_id"]).info.status
    if status == "FINISHED":
        finished.add(row["run_id"])
    else:
        yield Breach("versions/run", f"the run of version {row['version']} is {status}")


def _artifact(scene: Scene, row: Row) -> Iterator[Breach]:
    whole = scene.known.setdefault("whole", set())
    if row["artifact_digest"] in whole:
        return
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    mlflow.set_tracking_uri(scene.settings.tracking_url)
    with tempfile.TemporaryDirectory() as folder:
        try:
            files = mlflow.artifacts.download_artifacts(row["model_uri"], dst_path=folder)
            digest = artifact_digest(Path(files))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it is the breach
            yield Breach("versions/artifact", f"version {row['version']} cannot be read: {error}")
            return
    if digest == row["artifact_digest"]:
        whole.add(digest)
    else:
        yield Breach("versions/artifact", f"version {row['version']} has other files than were registered")
