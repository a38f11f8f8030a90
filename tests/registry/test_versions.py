"""Versions with a real MLflow: registered once for each fingerprint, aliases brought along."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from include.registry import database, outbox, stages, state, versions
from include.registry import tables as t
from include.registry.mlflow_client import TrackingAway, connect
from include.settings import Settings

pytestmark = pytest.mark.database
WHO = {"actor": "ana", "reason": "because"}
AS_OF = datetime(2013, 10, 1, tzinfo=UTC)


def aliases(settings: Settings, model: str) -> dict[str, int]:
    return {alias: int(number) for alias, number in connect(settings).get_registered_model(model).aliases.items()}


@pytest.fixture(scope="module")
def tracking_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture
def tracked(stored_settings: Settings, tracking_url: str) -> Settings:
    return replace(stored_settings, tracking_url=tracking_url)


@pytest.fixture
def run_id(tracked: Settings, tmp_path: Path) -> str:
    client = connect(tracked)
    experiment = client.get_experiment_by_name("e")
    experiment_id = experiment.experiment_id if experiment else client.create_experiment("e", tmp_path.as_uri())
    return str(client.create_run(experiment_id).info.run_id)


def register(settings: Settings, run_id: str, fingerprint: str, model: str) -> versions.Registered:
    values: dict[str, Any] = {"decision": {"verdict": "promote", "reason": "it wins"}, "windows": {"train": "…"}}
    return versions.register_version(
        settings,
        model,
        fingerprint=fingerprint,
        run_id=run_id,
        as_of=AS_OF,
        artifact_digest="d" * 64,
        model_uri=f"runs:/{run_id}/model",
        tags={"noria.training_set": "t1"},
        **values,
    )


def test_version_is_registered_once_for_each_fingerprint(tracked: Settings, run_id: str) -> None:
    first = register(tracked, run_id, "f1", "once")
    again = register(tracked, run_id, "f1", "once")
    second = register(tracked, run_id, "f2", "once")
    assert (first.reused, again.reused, second.reused) == (False, True, False)
    assert first.version == again.version
    assert (first.version.version, second.version.version, first.version.status) == (1, 2, "registered")
    assert versions.find_by_fingerprint(tracked, "once", "f2") == second.version
    assert versions.find_by_fingerprint(tracked, "once", "f3") is None
    tags = connect(tracked).get_model_version("once", "1").tags
    assert tags["noria.fingerprint"] == "f1"
    assert tags["noria.as_of"] == AS_OF.isoformat()
    assert tags["noria.decision"] == "promote"
    assert tags["noria.training_set"] == "t1"


def test_crash_between_mlflow_and_our_table_makes_no_second_version(
    tracked: Settings, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(versions, "_insert", killed)
        with pytest.raises(KeyboardInterrupt):
            register(tracked, run_id, "f1", "crashed")
    assert versions.list_versions(tracked, "crashed") == []
    assert register(tracked, run_id, "f1", "crashed").version.version == 1
    assert len(connect(tracked).search_model_versions("name = 'crashed'")) == 1


def test_reset_mlflow_beside_a_kept_database_is_said_clearly(tracked: Settings, run_id: str, tmp_path: Path) -> None:
    register(tracked, run_id, "f1", "reset")
    fresh = replace(tracked, tracking_url=f"sqlite:///{tmp_path}/fresh.db")
    client = connect(fresh)
    run = client.create_run(client.create_experiment("e")).info.run_id
    with pytest.raises(versions.RegistriesDisagree, match="not of the same age"):
        register(fresh, run, "f2", "reset")


def test_mlflow_away_is_try_again_and_registers_nothing(
    tracked: Settings, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackingAway, match="NORIA_TRACKING_URL"):
        register(replace(tracked, tracking_url="http://127.0.0.1:9"), run_id, "f1", "away")
    assert versions.list_versions(tracked, "away") == []


def test_aliases_follow_the_state(tracked: Settings, run_id: str) -> None:
    for fingerprint in ("f1", "f2"):
        number = register(tracked, run_id, fingerprint, "followed").version.version
        state.switch_champion(tracked, "followed", number, **WHO)
    assert outbox.deliver(tracked, "followed") == []
    assert aliases(tracked, "followed") == {"champion": 2, "previous": 1}
    third = register(tracked, run_id, "f3", "followed").version.version
    stages.enter_stage(
        tracked, "followed", third, role="canary", share=0.1, plan={}, until=None, deployment="run", **WHO
    )  # fmt: skip
    outbox.deliver(tracked)
    assert aliases(tracked, "followed") == {"champion": 2, "previous": 1, "challenger": 3}
    assert outbox.deliver(tracked) == []
    state.roll_back(tracked, "followed", **WHO)
    outbox.deliver(tracked)
    assert aliases(tracked, "followed") == {"champion": 1}
    state.retire(tracked, "followed", **WHO)
    outbox.deliver(tracked)
    assert aliases(tracked, "followed") == {}


def test_delivery_waits_for_an_mlflow_that_is_away(
    tracked: Settings, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    number = register(tracked, run_id, "f1", "patient").version.version
    state.switch_champion(tracked, "patient", number, **WHO)
    assert outbox.deliver(replace(tracked, tracking_url="http://127.0.0.1:9")) == ["patient"]
    with database.transaction(tracked.database_url) as connection:
        row = connection.execute(select(t.outbox)).one()
    assert (row.delivered_at, row.attempts) == (None, 1)
    assert row.error
    assert outbox.deliver(tracked) == []
    assert aliases(tracked, "patient") == {"champion": 1}
