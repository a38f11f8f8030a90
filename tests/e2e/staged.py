"""A model whose deployment has stages, and challengers with something wrong with them, in the running stack."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import mlflow.artifacts

from include.registry import versions
from include.registry.mlflow_client import connect
from include.settings import PROJECT
from tests.e2e.line import Document, Line
from tests.e2e.models import shorten
from tests.serving.challengers import Package, log_package

LATER = "2013-12-18T00:00:00-05:00"
"""The instant after which the days are traffic."""


def with_stages(document: Document) -> None:
    """Small windows, a gate that every model passes, and stages that want little."""
    shorten(document)
    document["training"] |= {"window": "40d", "early_stopping_rounds": 30}  # ten days of December teach too little
    document["evaluation"]["gates"] = [{"metric": "roc_auc", "at_least": 0.4}]
    document["deployment"] = {
        "stages": ["shadow", {"canary": 30}, "champion"],
        "evidence": {"requests": 150, "timeout": "5m"},
        "rollback": {"metric": "roc_auc", "quality_margin": 0.1, "prediction_shift": 2.0, "added_ms": 500},
    }


def register_variant(
    line: Line, model: str, folder: Path, *, of: str, version: int, code: str | None = None, days: int
) -> int:
    """A version of a model that is another model's version, with other code or its own, and a later as-of."""
    settings = line.settings
    source = versions.get_version(settings, of, version)
    downloads = folder / uuid.uuid4().hex
    downloads.mkdir(parents=True)
    client = connect(settings)
    logged = Path(mlflow.artifacts.download_artifacts(source.model_uri, dst_path=str(downloads / "model")))
    rows = Path(client.download_artifacts(source.run_id, "verification/rows.parquet", str(folder)))
    package = log_package(settings, downloads / "variant", logged / "artifacts", code, rows)
    return register_package(line, model, package, as_of_of=(of, version), days=days)


def register_package(line: Line, model: str, package: Package, *, as_of_of: tuple[str, int], days: int) -> int:
    """Register a package as a version of a model, so many days later than another version."""
    as_of = versions.get_version(line.settings, *as_of_of).as_of + timedelta(days=days)
    done = versions.register_version(
        line.settings,
        model,
        fingerprint=uuid.uuid4().hex,
        run_id=package.run_id,
        as_of=as_of,
        artifact_digest=package.artifact_digest,
        model_uri=package.model_uri,
    )
    return done.version.version


@contextmanager
def traffic(line: Line, model: str, rate: int = 60) -> Iterator[None]:
    """Real later days as requests, their labels as feedback, for as long as the block runs."""
    inputs = json.dumps({"rate": rate, "labels": True, "loop": True, "seconds": 600})
    command = [sys.executable, "-m", "include.steps", "replay", "--model", model, "--as-of", LATER, "--inputs", inputs]
    environment = {**line.stack.environment(), "NORIA_RESULT": str(line.home / f"replay-{model}.json")}
    with (line.home / f"replay-{model}.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(20)


def ledger(line: Line, model: str) -> list[Document]:
    """The model's ledger, oldest first."""
    return line.rows("SELECT * FROM deployment_ledger WHERE model = :m ORDER BY revision", m=model)


def champion(line: Line, model: str) -> int | None:
    """The version in production."""
    found = line.rows("SELECT version FROM deployment_state WHERE model = :m AND role = 'champion'", m=model)
    return found[0]["version"] if found else None
