"""A model as a notebook sees it: the same rows, answers and judgement as in Airflow, and errors that name the cure."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pandas as pd
import pytest

from include.errors import Refused
from include.notebook import Model, NoStack, RowsUnusable, open_model
from include.notebook.comparison import NothingToCompareOn
from include.registry.versions import VersionUnknown
from include.serving.scoring.version import NobodyToScore
from include.settings import PROJECT, Settings
from include.spec.loader import UnknownModel
from include.steps.protocol import Document
from tests.steps.judging_world import World, as_of, judged_definition

pytestmark = pytest.mark.database
HEAVY = ("pandas", "numpy", "mlflow", "xgboost", "duckdb", "great_expectations", "sklearn", "pyarrow", "deltalake")


@pytest.fixture
def model(world: World) -> Model:
    return Model(world.settings, judged_definition())


def test_importing_it_brings_nothing_heavy() -> None:
    program = f"import sys, include.notebook; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_a_training_set_holds_only_what_was_known_then(world: World, model: Model) -> None:
    found = model.training_set(as_of(22))

    assert found.digest == world.run("assemble", 22, {})["digest"]
    times = pd.concat([found.train, found.validation, found.holdout])["left_at"]
    assert times.max() < pd.Timestamp("2013-01-23")
    assert len(found.holdout_inputs) == len(found.holdout)


def test_two_versions_are_compared_as_the_gate_of_the_champion_judges(
    world: World, model: Model, evaluate: Callable[..., Document]
) -> None:
    first = world.crown(world.train(18), 18)
    judged = evaluate(world.train(22), 22)
    second = world.register(world.train(22), 22)

    table = model.compare(first, second).table

    for metric, gained in judged["improvements"]["champion"].items():
        row = table.loc[metric]
        assert (row["improvement"], row["improvement low"], row["improvement high"]) == pytest.approx(
            (gained["value"], gained["low"], gained["high"]), nan_ok=True
        )
        assert row[f"version {first}"] == pytest.approx(judged["champion"][metric]["value"])


def test_the_roles_of_a_comparison_can_be_turned(world: World, model: Model) -> None:
    first, second = world.register(world.train(22, rounds=1), 22), world.register(world.train(22), 22)

    there, back = model.compare(first, second), model.compare(second, first)

    assert there.table.loc["log_loss", "surely"] == "better"
    assert back.table.loc["log_loss", "surely"] == "worse"
    assert "rows that neither has seen" in str(there)


def test_rows_that_one_of_two_versions_has_seen_do_not_count(world: World, model: Model) -> None:
    training = world.train(22)
    whole = {"start": as_of(1).isoformat(), "end": as_of(22).isoformat()}
    first = world.register(world.train(18), 18, windows={"train": whole, "validation": whole})
    second = world.register(training, 22)

    with pytest.raises(NothingToCompareOn, match=f"neither version {first} nor version {second}.* too few: 0 "):
        model.compare(first, second)


def test_a_version_answers_as_it_did_on_its_holdout(world: World, model: Model) -> None:
    training = world.train(22)
    version = world.register(training, 22)

    answers = model.predict(model.training_set(as_of(22)).holdout_inputs, version=version)

    predicted = pd.read_parquet(world.settings.store / training["predictions"])
    assert answers["prediction"].tolist() == pytest.approx(predicted["prediction"].tolist())


def test_rows_that_a_version_cannot_read_are_named(world: World, model: Model) -> None:
    version = world.register(world.train(22), 22)

    with pytest.raises(RowsUnusable, match=f"late version {version} cannot read these rows: missing columns: .*seats"):
        model.predict([{"left_at": "2013-01-01T05:00:00", "carrier": "AA", "distance": "far"}], version=version)


def test_versions_tell_their_roles(world: World, model: Model) -> None:
    world.crown(world.train(18), 18)
    now = world.crown(world.train(22), 22)

    assert model.versions()["role"].to_dict() == {now - 1: "previous", now: "champion"}


def test_unknown_things_are_refused_by_name(model: Model, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NORIA_DATABASE_URL", raising=False)
    monkeypatch.setenv("NORIA_HOME", str(settings.home))

    with pytest.raises(UnknownModel, match="tumor_malignant"):
        open_model("tumor_malignan", settings)
    with pytest.raises(Refused, match="There is no step named 'trian'"):
        model.run("trian", as_of=as_of(22))
    with pytest.raises(VersionUnknown, match="no registered version 99"):
        model.predict([{}], version=99)
    with pytest.raises(VersionUnknown):
        model.compare(98, 99)
    with pytest.raises(NobodyToScore):
        model.predict([{}])
    with pytest.raises(NoStack, match="private_home"):
        open_model("tumor_malignant")
