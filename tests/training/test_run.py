"""Training into a real MLflow (on a SQLite database; one test through its server)."""

from __future__ import annotations

import gc
import json
import math
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from include.evaluation.holdout import read_holdout
from include.evaluation.report import Rival, evaluate
from include.settings import Settings
from include.spec.definition import Definition, FeatureModule
from include.stack.postgres import Postgres
from include.training import part_on_disk
from include.training import run as training_run
from include.training.describe import describe
from include.training.package import artifact_digest
from include.training.run import Job, PackagedModelDiffers, find_equal, prepare_job, train_and_log
from include.training.tracking import COMPLETE, Tracker, TrackingAway
from include.training.training_set import assemble_training_set
from tests.training import trainer_modules
from tests.training.factories import json_rows, make_definition, make_rows
from tests.training.lake import AS_OF, fill, with_suites

pytestmark = pytest.mark.database


ROWS = 1500


@pytest.fixture(scope="module")
def lake(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A lake with published features, which no test changes."""
    folder = tmp_path_factory.mktemp("lake")
    name = f"test_{uuid.uuid4().hex[:12]}"
    postgres.create_database(name)
    settings = Settings.from_environment({"NORIA_HOME": str(folder), "NORIA_DATABASE_URL": postgres.url(name)})
    settings = replace(with_suites(settings, folder), tracking_url=f"sqlite:///{folder}/mlflow.db")
    fill(settings, make_definition(), make_rows(ROWS))
    yield settings
    postgres.drop_database(name)


@pytest.fixture
def tracker(lake: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tracker]:
    """MLflow with an experiment of the test's own; the database is the module's."""
    made = Tracker(lake.tracking_url)
    experiment = made.client.create_experiment(tmp_path.name, artifact_location=(tmp_path / "artifacts").as_uri())
    monkeypatch.setattr(made, "experiment", lambda _: experiment)
    yield made
    while mlflow.active_run() is not None:
        mlflow.end_run()


def job_of(settings: Settings, definition: Definition | None = None) -> Job:
    definition = definition or make_definition()
    reference = assemble_training_set(settings, definition, AS_OF).reference(settings)
    return prepare_job(settings, definition, AS_OF, reference)


def test_a_training_is_logged_whole_and_an_equal_one_is_reused(
    lake: Settings, tracker: Tracker, tmp_path: Path
) -> None:
    job = job_of(lake)
    assert find_equal(job, tracker, None) is None
    output = train_and_log(job, tracker)
    run = tracker.client.get_run(output["run_id"])
    assert (run.info.status, run.data.tags[COMPLETE]) == ("FINISHED", "true")
    assert run.data.params["seed"] == "7"
    assert run.data.params["max_depth"] == "4"
    assert run.data.metrics["best_round"] == output["best_round"]
    assert run.data.tags["noria.compiled"].startswith("proven equal on ")
    assert len(tracker.client.get_metric_history(output["run_id"], "validation_logloss")) >= output["best_round"]
    dataset = run.inputs.dataset_inputs[0].dataset
    assert dataset.digest == job.reference["digest"]
    assert len(dataset.digest) <= 36
    names = {artifact.path for artifact in tracker.client.list_artifacts(output["run_id"])}
    assert names >= {
        "definition.json",
        "fingerprint.json",
        "importance.json",
        "training_set.json",
        "verification",
        "predictions",
    }

    predictions = pd.read_parquet(lake.store / output["predictions"])
    assert predictions.columns.tolist() == ["partition", "_row", "label", "prediction"]
    job.predictions.unlink()
    again = find_equal(job, tracker, None)
    assert again == {**output, "reused": True}
    assert pd.read_parquet(lake.store / output["predictions"]).equals(predictions)
    assert find_equal(job, tracker, output["run_id"]) == again
    assert not mlflow.active_run()

    rows = pq.read_table(tracker.download(output["run_id"], "verification/rows.parquet", tmp_path)).to_pandas()
    loaded = mlflow.pyfunc.load_model(output["model_uri"])
    raw = rows.drop(columns="prediction")
    assert loaded.predict(raw)["prediction"].tolist() == rows["prediction"].tolist()
    answers = loaded.unwrap_python_model().predict_rows(json_rows(raw, list(raw.columns)))
    assert answers == rows["prediction"].tolist()


def test_a_training_with_cleaning_learns_on_the_kept_training_rows_and_its_package_answers_the_same(
    lake: Settings, tracker: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    rules = {
        "carrier": {"missing": "drop"},
        "far": {"missing": "median", "indicator": True, "outliers": {"winsorize": [0.02, 0.98]}, "flag": True},
        "cargo": {"missing": "most_frequent"},
    }
    definition = make_definition(clean={"features": rules}, training={"monotone": {"far": "increasing"}})
    job = job_of(lake, definition)
    assert job.fingerprint.value != job_of(lake).fingerprint.value
    train = pd.read_parquet(job.directory / "train.parquet")
    far = np.sort(train.loc[train["feature_carrier"].notna(), "feature_far"].dropna().to_numpy())
    features = {feature["name"]: feature for feature in job.description["features"]}
    low, high = (far[math.ceil(share * len(far)) - 1] for share in (0.02, 0.98))
    assert features["far"]["clean"] == {"low": low, "high": high, "fill": far[math.ceil(len(far) / 2) - 1]}
    assert [*features][-2:] == ["far_missing", "far_outlier"]

    output = train_and_log(job, tracker)
    run = tracker.client.get_run(output["run_id"])
    assert run.data.tags["noria.compiled"].startswith("proven equal on ")
    assert "rows of the train part are dropped: {'carrier': " in caplog.text
    assert len(pd.read_parquet(lake.store / output["predictions"])) == job.reference["rows"]["holdout"]
    loaded = mlflow.pyfunc.load_model(output["model_uri"]).unwrap_python_model()
    row = {"left_at": "2013-01-05T17:30:00", "carrier": None, "distance": None, "seats": 140, "cargo": False}
    same = {**row, "distance": features["far"]["clean"]["fill"] * 7.3}
    given = {**row, "distance": high * 7.3 + 1}
    alone = [loaded.predict_rows([one])[0] for one in (row, same, given)]
    assert loaded.predict_rows([row, same, given]) == alone


def test_a_definition_without_cleaning_is_described_as_before(lake: Settings) -> None:
    keys = {"name", "type", "expression", "categories", "reads"}
    assert all(feature.keys() == keys for feature in job_of(lake).description["features"])


def test_the_logged_model_needs_nothing_of_this_repository(lake: Settings, tracker: Tracker, tmp_path: Path) -> None:
    output = train_and_log(job_of(lake), tracker)
    model = tracker.download_model(output["model_uri"], tmp_path / "clean")
    assert artifact_digest(model) == output["artifact_digest"]
    assert not list(model.rglob("*.pkl"))
    lines = (model / "requirements.txt").read_text().splitlines()
    assert [line.split("==")[0] for line in lines] == ["mlflow", "xgboost", "duckdb", "numpy", "pandas"]
    script = (
        "import sys, json, pandas as pd, mlflow.pyfunc\n"
        f"model = mlflow.pyfunc.load_model({str(model)!r})\n"
        "rows = pd.DataFrame(json.load(sys.stdin), dtype=object)\n"
        "inside = model.unwrap_python_model()\n"
        "assert inside._compiled is not None and inside._direct is not None\n"
        "plain = rows.astype(object).where(rows.notna(), None).to_dict('records')\n"
        "alone = [inside.predict_rows([row])[0] for row in plain]\n"
        "assert alone == model.predict(rows)['prediction'].tolist()\n"
        "assert not any(name.split('.')[0] in ('include', 'sqlglot') for name in sys.modules)\n"
        "print(json.dumps(model.predict(rows)['prediction'].tolist()))\n"
    )
    inputs = training_run.read_inputs(lake.store / output["training_set"]["directory"])
    given = json.dumps(json_rows(inputs, list(inputs.columns)))
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", script],
        input=given,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = pd.read_parquet(lake.store / output["predictions"])["prediction"].tolist()
    assert json.loads(done.stdout.splitlines()[-1]) == expected


def test_threads_and_places_leave_no_trace_in_the_artifact(lake: Settings, tracker: Tracker, tmp_path: Path) -> None:
    first = train_and_log(job_of(lake, make_definition(training={"resources": {"cpu": 1}})), tracker)
    elsewhere = replace(lake, home=tmp_path / "b", store=tmp_path / "b" / "store")
    definition = make_definition(training={"resources": {"cpu": 2}})
    fill(elsewhere, definition, make_rows(ROWS), shuffle=11)
    job = job_of(elsewhere, definition)
    assert job.fingerprint.value == first["fingerprint"]
    assert train_and_log(job, tracker)["artifact_digest"] == first["artifact_digest"]


def test_a_crash_while_logging_leaves_nothing_that_is_reused(
    lake: Settings, tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(lake)

    def crash(*_: Any) -> Any:
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(training_run, "_verification_rows", crash)
        with pytest.raises(OSError, match="no space"):
            train_and_log(job, tracker)
    [run] = tracker.client.search_runs([tracker.experiment("late")])
    assert run.info.status == "FAILED"
    assert find_equal(job, tracker, run.info.run_id) is None
    unfinished = tracker.client.create_run(tracker.experiment("late"), tags=dict(run.data.tags))
    assert find_equal(job, tracker, unfinished.info.run_id) is None
    assert train_and_log(job, tracker)["reused"] is False


def test_a_finished_run_whose_model_is_gone_is_not_reused(lake: Settings, tracker: Tracker, tmp_path: Path) -> None:
    job = job_of(lake)
    train_and_log(job, tracker)
    for path in (tmp_path / "artifacts").rglob("model.ubj"):
        path.write_bytes(path.read_bytes()[:-1])
    assert find_equal(job, tracker, None) is None


def test_a_package_that_computes_a_feature_otherwise_is_a_defect(
    lake: Settings, tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(lake)
    wrong = job.description | {"select": job.description["select"].replace("7.3", "9.1")}
    assert wrong != job.description
    with pytest.raises(PackagedModelDiffers, match="holdout rows the packaged model's answer is not the trained"):
        train_and_log(replace(job, description=wrong), tracker)
    assert tracker.client.search_runs([tracker.experiment("late")]) == []


def test_what_shapes_the_model_shapes_the_fingerprint(lake: Settings) -> None:
    base = job_of(lake).fingerprint.value
    same = make_definition(owner="another", training={"resources": {"cpu": 1}, "max_missing_partitions": 4})
    assert job_of(lake, same).fingerprint.value == base
    for change in ({"seed": 8}, {"rounds": 41}, {"params": {"max_depth": 3}}, {"refit": "validation"}):
        assert job_of(lake, make_definition(training=change)).fingerprint.value != base


def test_what_the_server_refuses_is_part_of_a_version_and_how_it_is_deployed_is_not(lake: Settings) -> None:
    base = job_of(lake).fingerprint.value
    same = make_definition(serving={"log": {"retention": "7d"}}, deployment={"stages": ["shadow", "champion"]})
    assert job_of(lake, same).fingerprint.value == base
    limits = {"seats": {"minimum": 1}}
    for change in ({"limits": limits}, {"unseen_categories": "refuse"}, {"personal": ["carrier"]}):
        assert job_of(lake, make_definition(serving=change)).fingerprint.value != base
    entity = make_definition(source={"entity": ["number"]})
    assert describe(entity, {})["serving"]["entity"] == {"number": "integer"}


def test_an_mlflow_that_is_away_is_tried_again() -> None:
    tracker = Tracker("http://127.0.0.1:9")
    with pytest.raises(TrackingAway, match="make status"):
        tracker.experiment("late")


def test_verification_rows_are_spread_over_the_holdout(lake: Settings) -> None:
    job = job_of(lake, make_definition(deployment={"verify_rows": 10}))
    count = job.reference["rows"]["holdout"]
    rows = training_run._verification_rows(job, np.arange(count, dtype=np.float64))["prediction"].to_pylist()
    assert len(rows) == 10
    assert (rows[0], rows[-1]) == (0, count - 1)


def test_a_feature_module_answers_online_as_offline(lake: Settings, tracker: Tracker, tmp_path: Path) -> None:
    lake.models.mkdir(exist_ok=True)
    (lake.models / "odd.py").write_text(
        "import pandas as pd\n"
        "def compute(rows):\n"
        "    return pd.DataFrame({'hour': rows['left_at'].dt.hour, 'carrier': rows['carrier'], "
        "'seats': rows['seats'] / 3, 'cargo': rows['cargo']}, index=rows.index)\n"
    )
    types = {"hour": "numeric", "carrier": "category", "seats": "numeric", "cargo": "boolean"}
    module = {"path": "odd.py", "inputs": ["left_at", "carrier", "seats", "cargo"], "columns": types}
    definition = make_definition(model="odd", features={}, feature_module=None).model_copy(
        update={"feature_module": FeatureModule.model_validate(module)}
    )
    settings = with_suites(lake, tmp_path, "odd")
    settings = replace(settings, models=lake.models)
    fill(settings, definition, make_rows(ROWS))
    output = train_and_log(job_of(settings, definition), tracker)
    model = tracker.download_model(output["model_uri"], tmp_path / "model")
    assert (model / "artifacts" / "feature_module.py").read_bytes() == (lake.models / "odd.py").read_bytes()
    inputs = training_run.read_inputs(settings.store / output["training_set"]["directory"])
    answers = (
        mlflow.pyfunc.load_model(str(model)).unwrap_python_model().predict_rows(json_rows(inputs, list(inputs.columns)))
    )
    assert answers == pd.read_parquet(settings.store / output["predictions"])["prediction"].tolist()


def test_a_search_is_logged_with_its_trials_and_decides_on_the_model(
    lake: Settings, tracker: Tracker, tmp_path: Path
) -> None:
    space = {"max_depth": {"low": 2, "high": 6}, "learning_rate": {"low": 0.05, "high": 0.5, "log": True}}
    search = {"space": space, "trials": 6, "folds": 2}
    definition = make_definition(training={"params": {"subsample": 0.8}, "search": search})
    job = job_of(lake, definition)
    assert job.fingerprint.value != job_of(lake).fingerprint.value
    assert "optuna" in job.fingerprint.document["libraries"]
    output = train_and_log(job, tracker)
    run = tracker.client.get_run(output["run_id"])
    found = json.loads(tracker.download(output["run_id"], "search.json", tmp_path).read_text())
    assert (len(found["trials"]), found["folds"], found["metric"], found["end"]) == (6, 2, "logloss", "trials")
    assert run.data.metrics["search_trials"] == 6
    best = found["trials"][found["best"] - 1]["params"]
    assert {name: run.data.params[name] for name in best} == {name: str(value) for name, value in best.items()}
    assert run.data.params["subsample"] == "0.8"
    assert find_equal(job, tracker, None) == {**output, "reused": True}


def test_candidates_are_logged_with_the_reason_and_the_best_one_is_the_model(
    lake: Settings, tracker: Tracker, tmp_path: Path
) -> None:
    trees = {"trainer": "xgboost", "params": {"max_depth": 2}}
    definition = make_definition(
        training={"params": {}, "rounds": 5, "candidates": {"trees": trees, "line": {"trainer": "linear"}}}
    )
    job = job_of(lake, definition)
    output = train_and_log(job, tracker)
    run = tracker.client.get_run(output["run_id"])
    told = json.loads(tracker.download(output["run_id"], "candidates.json", tmp_path).read_text())
    assert told["chosen"] == run.data.tags["noria.candidate"] == "line", told["reason"]
    assert output["candidate"] == told["reason"]
    losses = {one["name"]: one["loss"] for one in told["candidates"]}
    assert {name: run.data.metrics[f"candidate_{name}_logloss"] for name in losses} == losses
    assert run.data.metrics["best_validation_logloss"] == losses["line"]
    assert (run.data.params["trainer"], run.data.params["C"], output["best_round"]) == ("linear", "1.0", 1)
    assert "rounds" not in run.data.params
    assert run.data.tags["noria.compiled"].startswith("proven equal on ")
    assert set(json.loads(tracker.download(output["run_id"], "importance.json", tmp_path).read_text())) == set(
        definition.features
    )
    assert find_equal(job, tracker, None) == {**output, "reused": True}
    again = train_and_log(job, tracker)
    assert again["artifact_digest"] == output["artifact_digest"]
    assert_loads_equally(tracker, output, tmp_path)


def test_a_module_of_the_teams_own_is_logged_with_its_files_and_requirements(
    lake: Settings, tracker: Tracker, tmp_path: Path
) -> None:
    definition = make_definition(training={"params": {}, "trainer": {"module": "my_trainer.py"}})
    lake.models.mkdir(exist_ok=True)
    source = lake.models / "my_trainer.py"
    source.write_text(trainer_modules.FOREST)
    job = job_of(lake, definition)
    output = train_and_log(job, tracker)
    model = tracker.download_model(output["model_uri"], tmp_path / "model")
    assert artifact_digest(model) == output["artifact_digest"]
    assert {path.name for path in (model / "artifacts" / "model").iterdir()} >= {"MLmodel", "model.skops"}
    assert (model / "requirements.txt").read_text().splitlines()[-1] == "scikit-learn==1.9.1"
    assert_loads_equally(tracker, output, tmp_path)
    source.write_text(trainer_modules.FOREST + "# another\n")
    assert job_of(lake, definition).fingerprint.value != job.fingerprint.value


def test_the_sample_for_a_domain_classifier_is_what_the_definition_asks_for(lake: Settings) -> None:
    def asking(drift: dict[str, Any], **changes: Any) -> Definition:
        return make_definition(monitoring={"drift": drift}, **changes)

    base = job_of(lake).fingerprint.value
    assert job_of(lake, asking({"least_change": 0.1})).fingerprint.value == base
    assert job_of(lake, asking({"domain_classifier": {}})).fingerprint.value != base
    hidden = asking({"domain_classifier": {}}, serving={"personal": ["carrier"]})
    assert job_of(lake, hidden).fingerprint.document["reference_sample"] == {"rows": 2000, "without": ["carrier"]}


def test_the_fingerprint_names_trainer_and_candidates_only_where_they_are_given(lake: Settings) -> None:
    plain, line = (job_of(lake, make_definition(training=more)) for more in ({}, {"trainer": "linear", "params": {}}))
    assert not {"trainer", "candidates"} & set(plain.fingerprint.document)
    assert line.fingerprint.document["trainer"] == {"name": "linear", "module": None}
    assert "scikit-learn" in line.fingerprint.document["libraries"]
    assert "scikit-learn" not in plain.fingerprint.document["libraries"]


def assert_loads_equally(tracker: Tracker, output: dict[str, Any], folder: Path) -> None:
    """The model that MLflow gives answers the verification rows as they were logged: in a batch, alone, compiled."""
    rows = pq.read_table(tracker.download(output["run_id"], "verification/rows.parquet", folder)).to_pandas()
    raw, expected = rows.drop(columns="prediction"), rows["prediction"].tolist()
    loaded = mlflow.pyfunc.load_model(output["model_uri"])
    assert loaded.predict(raw)["prediction"].tolist() == expected
    asked = json_rows(raw[:20], list(raw.columns))
    packaged = loaded.unwrap_python_model()
    assert packaged.predict_rows(asked) == expected[:20]
    assert [packaged.predict_rows([row])[0] for row in asked] == expected[:20]


@pytest.mark.parametrize(
    "training",
    [
        {"refit": "validation", "calibration": "sigmoid", "params": {"max_bin": 32}},
        {"search": {"space": {"max_depth": {"low": 2, "high": 4}}, "trials": 2, "folds": 2}},
    ],
)
def test_parts_that_stay_on_disk_give_the_same_model_and_the_same_judgement(
    lake: Settings, tracker: Tracker, monkeypatch: pytest.MonkeyPatch, training: dict[str, Any]
) -> None:
    rules = {"carrier": {"missing": "drop"}, "far": {"missing": "median", "indicator": True}}
    definition = make_definition(clean={"features": rules}, training={"rounds": 8, **training})
    job = job_of(lake, definition)
    in_memory = train_and_log(job, tracker)
    monkeypatch.setattr(part_on_disk, "_BYTES_A_VALUE", 1 << 30)
    monkeypatch.setattr(part_on_disk, "BATCH_ROWS", 101)
    large = job_of(lake, definition)
    assert (job.scratch, large.scratch) == (None, lake.store / "tmp")
    assert large.fingerprint.value != job.fingerprint.value
    on_disk = train_and_log(large, tracker)
    assert on_disk["artifact_digest"] == in_memory["artifact_digest"]
    first, second = (pq.read_table(lake.store / one["predictions"]) for one in (in_memory, on_disk))
    assert first.equals(second)
    gc.collect()
    assert not list(large.scratch.glob("pages-*"))

    read = [read_holdout(lake.store, in_memory, scratch) for scratch in (None, large.scratch)]
    reports = [evaluate(definition, holdout, Rival.nobody(len(holdout.frame))) for holdout in read]
    assert reports[0] == reports[1]
