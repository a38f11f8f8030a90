"""Lineage both ways, over real tables and a real MLflow: data to models and predictions, prediction to its data."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

import pytest
from mlflow.exceptions import MlflowException

from include.console import lineage as console
from include.errors import Refused
from include.lake.table import LakeTable, NoSuchVersion
from include.registry.__main__ import _parser
from include.registry.lineage import RequestUnknown, answers_of, origin_of, touched_by
from include.registry.lineage_commands import run_lineage
from include.registry.mlflow_client import connect
from include.registry.state import switch_champion
from include.registry.versions import VersionUnknown
from include.settings import Settings
from tests.steps.judging_world import World, judged_definition
from tests.steps.test_monitor import labelled_requests

pytestmark = pytest.mark.database


@pytest.fixture
def registered(world: World) -> int:
    """A version that the steps have registered and that is champion, in an MLflow that knows no other one."""
    training = world.train(22)
    with suppress(MlflowException):  # other tests share MLflow, and have left versions with these numbers
        connect(world.settings).delete_registered_model("late")
    version = int(world.run("register", 22, {"training": training, "decision": {"verdict": "promote"}})["version"])
    switch_champion(world.settings, "late", version, actor="ana", reason="test")
    return version


def versions_over_http(settings: Settings, model: str) -> list[dict[str, Any]]:
    """MLflow's documents as its server answers them; this MLflow has no server."""
    return [
        {"version": one.version, "tags": [{"key": key, "value": value} for key, value in one.tags.items()]}
        for one in connect(settings).search_model_versions(f"name = '{model}'")
    ]


@pytest.fixture
def command(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """The lines of the command ``lineage late …``."""
    definition = judged_definition()
    monkeypatch.setattr("include.registry.lineage_commands.find_definition", lambda *_: definition)
    return lambda *words: run_lineage(world.settings, _parser().parse_args(["lineage", "late", *words]))


def test_a_version_leads_to_the_partitions_that_it_was_made_from(
    world: World, registered: int, command: Callable[..., list[str]]
) -> None:
    training = world.train(22)["training_set"]
    origin = origin_of(world.settings, judged_definition(), registered)
    assert origin.training_set == training["digest"]
    features = next(one for one in origin.sources if one.table == "features")
    assert features.version == training["features_version"]
    assert features.partitions is not None
    assert max(features.partitions) == "2013-01-21"
    assert (
        LakeTable(world.settings, "late", "features").digest(features.version, features.partitions)
        == (training["features_digest"])
    )

    lines = command("--version", str(registered), "--full")
    assert any(training["digest"] in line for line in lines)
    assert any(features.partitions["2013-01-21"].digest in line for line in lines)
    assert json.loads(command("--version", str(registered), "--json")[0])["training_set"] == training["digest"]
    with pytest.raises(VersionUnknown):
        command("--version", "99")


@pytest.mark.parametrize("table", ["raw", "features"])
def test_a_tables_version_leads_to_models_and_their_predictions(
    world: World,
    registered: int,
    command: Callable[..., list[str]],
    table: Literal["raw", "features"],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    newest = LakeTable(world.settings, "late", table).version()
    with labelled_requests(world, registered, rows=50):
        written, [touched] = touched_by(world.settings, judged_definition(), table, newest)
        lines = command(f"--{table}", str(newest))
        monkeypatch.setattr(console, "_versions", versions_over_http)
        told = console.touched(world.settings, judged_definition(), table, newest)
    assert len(written) == 36
    assert (touched.registered.version, touched.keys[-1]) == (registered, "2013-01-21")
    assert [(one.table, one.rows) for one in touched.predictions] == [("inference", 50)]
    assert lines[0].startswith(f"Version {newest} of the {table} table of late wrote 36 partitions, 2013-01-01 to")
    assert any("It answered 50 rows of requests" in line for line in lines)
    [made] = told.made
    assert (told.wrote, made.version, made.partitions, made.last) == (36, registered, len(touched.keys), "2013-01-21")
    assert made.answers == {"inference": 50}


def test_data_that_no_version_was_made_from_says_so(
    world: World, registered: int, command: Callable[..., list[str]]
) -> None:
    newest = LakeTable(world.settings, "late", "raw").version()
    if newest:
        assert command("--raw", str(newest - 1))[-1] == "No registered version was made from them."
    with pytest.raises(NoSuchVersion):
        command("--raw", "999")
    with pytest.raises(Refused, match="counted from 0"):
        command("--features", "-1")
    assert registered


def test_a_prediction_leads_to_its_version_and_data(
    world: World, registered: int, command: Callable[..., list[str]]
) -> None:
    with pytest.raises(RequestUnknown):
        answers_of(world.settings, "late", "r7")
    with labelled_requests(world, registered, rows=50):
        [answer] = answers_of(world.settings, "late", "r7")
        assert (answer.version, answer.role, answer.row) == (registered, "champion", 0)
        [shown] = console.answered(world.settings, "late", "r7")
        assert (shown.version, shown.role, shown.at) == (registered, "champion", answer.at)
        lines = command("--request", "r7")
        assert f"by version {registered} as champion" in lines[0]
        assert any(world.train(22)["run_id"] in line for line in lines)
        assert any("2013-01-21" in line for line in lines)
        document = json.loads(command("--request", "r7", "--json")[0])
        assert document["made_from"][0]["training_set"] == world.train(22)["training_set"]["digest"]
        with pytest.raises(RequestUnknown, match="no answered request 'r9999'"):
            command("--request", "r9999")
