"""The steps register, deploy, rollback and retire over a real database and MLflow."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.errors import Refused
from include.registry import state, versions
from include.registry.mlflow_client import connect
from include.settings import Settings
from include.spec.loader import find_definition
from include.steps import deploy, promote, register, retire, rollback
from include.steps.protocol import StepCall
from tests.serving.live import Logged, free_port
from tests.serving.world import logged_models, tracked, tracking_url

__all__ = ["logged_models", "tracked", "tracking_url"]
pytestmark = pytest.mark.database
MODEL = "flight_delay"
AS_OF = datetime(2013, 10, 1, tzinfo=UTC)


def step(settings: Settings, days: int = 0, /, **inputs: Any) -> StepCall:
    definition = find_definition(settings, MODEL)
    return StepCall(
        settings=settings, definition=definition, as_of=AS_OF + timedelta(days=days), attempt="a1", inputs=inputs
    )


def training(logged: Logged) -> dict[str, Any]:
    return {
        "fingerprint": f"f{logged.seed}",
        "run_id": logged.run_id,
        "model_uri": logged.model_uri,
        "artifact_digest": logged.artifact_digest,
        "training_set": {"digest": "t1", "features_version": 4, "windows": {"train": {"start": "…", "end": "…"}}},
    }


def register_all(settings: Settings, models: list[Logged]) -> list[int]:
    decision = {"promote": True, "verdict": "promote", "reason": "it wins"}
    calls = [
        step(settings, logged.seed, training=training(logged), evaluation={"champion_version": 1}, decision=decision)
        for logged in models
    ]
    return [register.run(call)["version"] for call in calls]


def test_registering_twice_gives_one_version(tracked: Settings, logged_models: list[Logged]) -> None:
    call = step(tracked, training=training(logged_models[0]), decision={"verdict": "keep"})
    first, again = register.run(call), register.run(call)
    assert (first["reused"], again["reused"]) == (False, True)
    assert first["version"] == again["version"]
    assert again["status"] == "registered"
    tags = connect(tracked).get_model_version(MODEL, str(first["version"])).tags
    assert tags["noria.training_set"] == "t1"
    assert versions.get_version(tracked, MODEL, first["version"]).windows["train"]["start"] == "…"


def test_register_says_what_is_missing(tracked: Settings) -> None:
    with pytest.raises(Refused, match="run_id"):
        register.run(step(tracked, training={"fingerprint": "f"}))
    with pytest.raises(Refused, match="whole output of train"):
        register.run(step(tracked))


def deployed(settings: Settings, version: int, **inputs: Any) -> dict[str, Any]:
    """A deployment without stages and without a server."""
    given = {"version": version, "deployment": f"run-{version}", "actor": "ana", **inputs}
    deploy.run(step(settings, **given))
    return promote.run(step(settings, wait_seconds=0, **given))


def test_whole_life_of_versions(tracked: Settings, logged_models: list[Logged]) -> None:
    tracked = replace(tracked, server_url=f"http://127.0.0.1:{free_port()}")
    first, second, third = register_all(tracked, logged_models)
    done = deployed(tracked, first, reason="first")
    assert (done["version"], done["previous"], done["changed"]) == (first, None, True)
    assert deploy.run(step(tracked, version=first, reason="again", actor="ana"))["changed"] is False
    deployed(tracked, second, reason="newer", expected_champion=first)
    with pytest.raises(Refused, match="decided against"):
        deploy.run(step(tracked, version=third, expected_champion=first))
    with pytest.raises(Refused, match="older than the champion"):
        deploy.run(step(tracked, version=first))
    aliases = connect(tracked).get_registered_model(MODEL).aliases
    assert {alias: int(number) for alias, number in aliases.items()} == {"champion": second, "previous": first}
    back = rollback.run(step(tracked, reason="bad", actor="bob", request="run-1"))
    assert (back["version"], back["rolled_back"], back["changed"]) == (first, second, True)
    assert rollback.run(step(tracked, reason="bad", actor="bob", request="run-1"))["changed"] is False
    with pytest.raises(Refused, match="barred"):
        deploy.run(step(tracked, version=second, force=True))
    gone = retire.run(step(tracked, reason="no one uses it", actor="ana"))
    assert (gone["version"], gone["changed"]) == (first, True)
    assert retire.run(step(tracked))["changed"] is False
    with pytest.raises(Refused, match="retired"):
        deploy.run(step(tracked, version=third))
    assert deployed(tracked, third, force=True)["version"] == third
    actions = [entry.action for entry in state.history(tracked, MODEL)]
    assert actions == ["stage", "promote", "stage", "promote", "rollback", "retire", "stage", "promote"]
    assert {entry.actor for entry in state.history(tracked, MODEL)} == {"ana", "bob"}


@pytest.mark.parametrize("wrong", [None, "3", True])
def test_deploy_needs_a_version(tracked: Settings, wrong: object) -> None:
    with pytest.raises(Refused, match="version"):
        deploy.run(step(tracked, version=wrong))
