"""The step register makes the card of a version: in the registry, in the store, and in the version's MLflow run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from include.registry.mlflow_client import TrackingAway, connect
from include.reports.model_card import ModelCard
from include.reports.model_card_life import find_card
from tests.steps.judging_world import World, judged_definition

pytestmark = pytest.mark.database


def test_registering_writes_the_card_once_and_a_failure_in_between_is_made_up_for(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = world.train(22)
    evaluation = world.run("evaluate", 22, {"training": training})
    decision = world.run("decide", 22, {"training": training, "evaluation": evaluation})
    inputs = {"training": training, "evaluation": evaluation, "decision": decision}

    def no_disk(*_: object) -> None:
        raise OSError("no disk")

    with monkeypatch.context() as patch:
        patch.setattr("include.steps.model_cards._deliver", no_disk)
        with pytest.raises(OSError, match="no disk"):
            world.run("register", 22, inputs)
    assert find_card(world.settings, "late", 1) is None

    version = world.run("register", 22, inputs)["version"]
    card = find_card(world.settings, "late", version)
    assert card is not None
    assert card.quality is not None
    assert card.quality.rows == evaluation["rows"]
    assert card.data.digest == training["training_set"]["digest"]
    assert {one.name for one in card.libraries} >= {"xgboost", "numpy"}
    assert [gate.gate for gate in card.gates] == [gate["gate"] for gate in decision["gates"]]

    client = connect(world.settings)
    logged = client.download_artifacts(training["run_id"], "model_card", str(tmp_path))
    assert ModelCard.model_validate_json((Path(logged) / "model_card.json").read_text()) == card
    page = (Path(logged) / "model_card.html").read_text()
    assert "As of its registration" in page
    assert (world.settings.store / f"reports/late/model_cards/version-{version}.html").read_text() == page
    assert (Path(logged) / "model_card.md").read_text().startswith(f"# Model card: late version {version}\n")

    other = judged_definition(description="Another text")
    world.run("register", 22, inputs, other)
    assert find_card(world.settings, "late", version) == card


def test_mlflow_away_is_tried_again_and_leaves_no_card(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    def away(*_: object, **__: object) -> None:
        raise MlflowException("connection refused")

    training = world.train(22)
    monkeypatch.setattr(MlflowClient, "log_text", away)
    with pytest.raises(TrackingAway, match="logging the model card of late version"):
        world.run("register", 22, {"training": training, "decision": {"verdict": "keep"}})
    monkeypatch.undo()
    version = world.run("register", 22, {"training": training, "decision": {"verdict": "keep"}})["version"]
    card = find_card(world.settings, "late", version)
    assert card is not None
    assert card.quality is None
    assert "without an evaluation" in json.dumps(card.derived_limits)
