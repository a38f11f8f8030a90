"""The way of the key that signs versions: from Airflow's connection to the step register, and to nobody else."""

from __future__ import annotations

import base64
import json
import logging
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from include.registry.mlflow_client import connect
from include.registry.signing import check
from include.registry.versions import get_version
from include.settings import Settings
from include.steps.catalog import SUMMARIES
from plugins.operators import environment
from plugins.operators.environment import child_environment, connection_variables, signing_variables
from plugins.operators.step import StepOperator
from tests.signing import checking, signing

AS_OF = datetime(2013, 10, 1, tzinfo=UTC)


@pytest.fixture
def key(settings: Settings, tmp_path: Path) -> str:
    """A private key in PEM; its public half is in ``keys/trusted.pem``."""
    path = signing(settings, tmp_path / "keys").signing_key
    assert path is not None
    return Path(path).read_text()


@pytest.fixture
def masked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What Airflow was told to mask."""
    words: list[str] = []
    monkeypatch.setattr(environment, "mask_secret", words.append)
    return words


def have_connection(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_NORIA_SIGNING", json.dumps({"conn_type": "generic", "password": password}))


@pytest.mark.parametrize("form", ["pem", "base64", "escaped"])
def test_the_password_of_the_connection_is_the_key_and_is_masked(
    monkeypatch: pytest.MonkeyPatch, masked: list[str], key: str, form: str
) -> None:
    forms = {"pem": key, "base64": base64.encodebytes(key.encode()).decode(), "escaped": key.replace("\n", "\\n")}
    have_connection(monkeypatch, forms[form])
    assert signing_variables() == {"NORIA_SIGNING_KEY": key}
    assert key.splitlines()[1] in masked


def test_a_password_that_is_no_key_is_not_repeated(monkeypatch: pytest.MonkeyPatch, masked: list[str]) -> None:
    have_connection(monkeypatch, "a-secret-word")
    with pytest.raises(AirflowFailException, match="keygen") as caught:
        signing_variables()
    assert "a-secret-word" not in str(caught.value)


def test_the_environment_counts_if_airflow_has_no_such_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    assert signing_variables() == {}
    monkeypatch.setenv("NORIA_SIGNING_KEY", "/run/noria/signing.pem")
    assert signing_variables() == {"NORIA_SIGNING_KEY": "/run/noria/signing.pem"}


def test_of_all_steps_only_those_that_sign_are_given_the_key(
    monkeypatch: pytest.MonkeyPatch, masked: list[str], key: str
) -> None:
    have_connection(monkeypatch, key)
    monkeypatch.setenv("NORIA_SIGNING_KEY", "/run/noria/signing.pem")
    monkeypatch.setenv("NORIA_TRUSTED_KEYS", "/run/noria/trusted.pem")
    operators = {
        name: StepOperator(task_id=name, model="flight_delay", step=name, as_of=AS_OF.isoformat()) for name in SUMMARIES
    }
    given = [name for name, operator in operators.items() if "NORIA_SIGNING_KEY" in operator._secrets()]
    assert given == ["register", "archive"]
    assert "NORIA_SIGNING_KEY" not in {**child_environment(), **connection_variables()}
    assert child_environment()["NORIA_TRUSTED_KEYS"] == "/run/noria/trusted.pem"


@pytest.mark.database
def test_a_registered_version_is_signed_and_the_key_is_in_nothing_that_is_kept(
    stored_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    key: str,
    masked: list[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    tracked = replace(signing(stored_settings, tmp_path / "keys"), tracking_url=f"sqlite:///{tmp_path}/mlflow.db")
    client = connect(tracked)
    run_id = client.create_run(client.create_experiment("e", tmp_path.as_uri())).info.run_id
    for name, value in {
        "NORIA_HOME": str(tracked.home),
        "NORIA_DATABASE_URL": tracked.database_url,
        "NORIA_TRACKING_URL": tracked.tracking_url,
        "NORIA_TRUSTED_KEYS": str(tracked.trusted_keys),
        "NORIA_LOG_LEVEL": "DEBUG",
    }.items():
        monkeypatch.setenv(name, value)
    have_connection(monkeypatch, key)
    training = {
        "fingerprint": "f1", "run_id": run_id, "model_uri": f"runs:/{run_id}/model", "artifact_digest": "d" * 64,
    }  # fmt: skip
    decision = {
        "verdict": "promote",
        "threshold": 0.25,
        "gates": [{"gate": "f1 at least 0", "passed": True, "value": -0.0, "bound": 1e22}],
    }

    def register(fingerprint: str) -> Any:
        operator = StepOperator(
            task_id="register", model="flight_delay", step="register", as_of=AS_OF.isoformat(),
            inputs={"training": {**training, "fingerprint": fingerprint}, "decision": decision},
        )  # fmt: skip
        ti = SimpleNamespace(run_id="run-1", try_number=1)
        output = operator.execute({"params": {}, "ti": ti})
        rendered = json.dumps([operator.as_of, operator.inputs, output])
        assert "PRIVATE" not in rendered
        assert key.splitlines()[1] not in rendered
        return output

    output = register("f1")
    row = get_version(tracked, "flight_delay", output["version"])
    assert row.signature is not None
    check(checking(tracked), row)
    signing(stored_settings, tmp_path / "theirs")
    have_connection(monkeypatch, (tmp_path / "theirs" / "signing.pem").read_text())
    with pytest.raises(AirflowFailException, match="not among NORIA_TRUSTED_KEYS"):
        register("f2")
    monkeypatch.delenv("AIRFLOW_CONN_NORIA_SIGNING")
    with pytest.raises(AirflowFailException, match="noria_signing"):
        register("f3")
    assert key.splitlines()[1] not in caplog.text
    assert "PRIVATE" not in caplog.text
