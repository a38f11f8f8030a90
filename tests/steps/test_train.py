"""The steps assemble and train in a row, against PostgreSQL and a real MLflow server that proxies its artifacts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from include.registry.versions import bar, register_version
from include.settings import Settings
from include.steps.assemble import run as assemble
from include.steps.protocol import StepCall
from include.steps.train import NoTrainingSet
from include.steps.train import run as train
from tests.training.factories import make_definition, make_rows
from tests.training.lake import AS_OF, fill, with_suites


@pytest.fixture
def mlflow_server(tmp_path: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{tmp_path}/mlflow.db",
        "--artifacts-destination",
        str(tmp_path / "a"),
    ]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **quiet}, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while not _answers(f"http://127.0.0.1:{port}/health"):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail((tmp_path / "server.log").read_text()[-2000:])
            time.sleep(0.3)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own server
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.mark.database
def test_a_model_is_trained_once_and_a_barred_version_stays_barred(
    stored_settings: Settings, mlflow_server: str, tmp_path: Path
) -> None:
    settings = replace(with_suites(stored_settings, tmp_path), tracking_url=mlflow_server)
    definition = make_definition(training={"refit": "validation"})
    fill(settings, definition, make_rows(1500))

    def call(**inputs: Any) -> StepCall:
        return StepCall(settings=settings, definition=definition, as_of=AS_OF, attempt="one", inputs=inputs)

    training_set = assemble(call())
    assert training_set == assemble(call())
    output = train(call(training_set=training_set))
    assert (output["reused"], output["version"]) == (False, None)
    assert output["training_set"] == training_set
    assert output["metrics_url"].startswith(f"{mlflow_server}/#/experiments/")
    again = train(call(training_set=training_set))
    assert again == {**output, "reused": True}

    registered = register_version(
        settings,
        model="late",
        fingerprint=output["fingerprint"],
        run_id=output["run_id"],
        as_of=AS_OF,
        artifact_digest=output["artifact_digest"],
        model_uri=output["model_uri"],
        windows=training_set["windows"],
        decision={},
    ).version.version
    bar(settings, "late", registered, actor="test", reason="it hurt")
    barred = train(call(training_set=training_set))
    assert (barred["reused"], barred["version"], barred["version_status"]) == (True, registered, "barred")


def test_train_without_a_training_set_says_what_it_needs(settings: Settings) -> None:
    with pytest.raises(NoTrainingSet, match="output of the step assemble"):
        train(StepCall(settings=settings, definition=make_definition(), as_of=AS_OF, attempt="one"))
