"""The step monitor: drift is found on published days, and starts training once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from include.alerts.news import find_news
from include.errors import NothingToDo
from include.evaluation.logged_models import ModelAway
from include.lake.paths import table_folder
from include.lake.staging import read_manifest, write_manifest
from include.registry.results import find_checks
from include.serving.request_log.commits import OpenedTable
from include.serving.request_log.tables import FEEDBACK, INFERENCE
from include.spec.alerts import Alerts
from include.spec.definition import Definition
from include.steps import monitor as step
from include.steps.protocol import Document
from tests.alerts.conftest import PLACES
from tests.steps.judging_world import DAYS, World, as_of, judged_definition, report_of

pytestmark = pytest.mark.database


def definition(drift: Document | None = None, **retrain: Any) -> Definition:
    """Windows of three days; drift in a single feature is drift."""
    rules = {"on_drift": True, "cooldown": "3d"} | retrain
    return judged_definition(monitoring={"drift": {"window": "3d"} | (drift or {}), "retrain": rules})


def monitor(world: World, day: int, **retrain: Any) -> Document:
    return world.run("monitor", day, {}, definition(**retrain))


def test_without_a_champion_there_is_nothing_to_do(world: World) -> None:
    with pytest.raises(NothingToDo, match="late has no champion"):
        monitor(world, 22)


def test_days_like_the_training_days_are_no_drift(world: World) -> None:
    version = world.crown(world.train(22), 22)
    output = monitor(world, 25)

    assert (output["drift"], output["retrain"]) == (False, False)
    assert output["champion_version"] == version
    assert (output["window"]["first"], output["window"]["last"]) == ("2013-01-23", "2013-01-25")
    assert {feature["name"] for feature in output["features"]} == {"hour", "carrier", "far", "seats", "cargo"}


def test_days_with_longer_distances_are_drift_and_start_a_retraining(world: World) -> None:
    world.crown(world.train(22), 22)
    output = monitor(world, DAYS)

    assert output["drift"]
    assert output["retrain"]
    found = output["features"][0]
    assert (found["name"], found["drifted"], found["what"]) == ("far", True, "values")
    assert found["size"] > found["limit"]
    assert output["start_id"].startswith("drift-")
    assert "far" in output["reason"]


def test_drift_that_the_champion_is_trained_on_is_drift_but_starts_no_retraining(world: World) -> None:
    world.crown(world.train(22), DAYS)
    output = monitor(world, DAYS)

    assert (output["drift"], output["retrain"], output["start_id"]) == (True, False, None)
    assert "could only reproduce it" in output["reason"]


def test_nothing_newer_than_the_as_of_is_looked_at(world: World) -> None:
    world.crown(world.train(22), 22)

    assert monitor(world, 20)["window"]["last"] == "2013-01-20"


def test_the_same_check_again_gives_the_same_answer_and_the_same_start(world: World) -> None:
    world.crown(world.train(22), 22)

    assert monitor(world, DAYS)["start_id"] == monitor(world, DAYS)["start_id"]
    assert monitor(world, DAYS)["retrain"]


def test_within_the_cooldown_drift_starts_nothing_more(world: World) -> None:
    world.crown(world.train(22), 22)
    assert monitor(world, DAYS - 2)["retrain"]
    later = monitor(world, DAYS)

    assert later["drift"]
    assert not later["retrain"]
    assert "cooldown" in later["reason"]
    assert monitor(world, DAYS - 2)["retrain"]


def test_after_the_cooldown_drift_starts_again(world: World) -> None:
    world.crown(world.train(22), 22)
    assert monitor(world, DAYS - 2, cooldown="2d")["retrain"]

    assert monitor(world, DAYS, cooldown="2d")["retrain"]


def test_days_before_any_was_published_are_not_enough_data(world: World) -> None:
    world.crown(world.train(22), 22)
    output = monitor(world, 0)

    assert output["verdict"] == "not enough data"
    assert not output["retrain"]
    assert output["window"]["first"] is None


def test_a_champion_without_its_files_is_an_error(world: World) -> None:
    world.crown(world.train(22), 22, model_uri="models:/m-00000000000000000000000000000000")

    with pytest.raises(ModelAway):
        monitor(world, DAYS)


def test_page_json_and_check_result_are_written(world: World) -> None:
    world.crown(world.train(22), 22)
    output = monitor(world, DAYS)
    page = report_of(world, output)

    assert "The newest data has drifted" in page
    assert "<script" not in page
    assert json.loads((world.settings.store / output["report"]).read_text())["features"][0]["bins"]
    check = find_checks(world.settings, "late", kind="drift")[0]
    assert (check.verdict, check.subject) == ("drift", "2013-02-03..2013-02-05")
    assert check.details["reason"].startswith("1 of 5 features drifted: far")


def test_drift_that_must_stay_starts_nothing_before_it_does(world: World) -> None:
    world.crown(world.train(22), 22)
    lasting = definition({"persistence": {"of": 3, "drifted": 2}})
    first, again, second = (world.run("monitor", day, {}, lasting) for day in (DAYS - 1, DAYS - 1, DAYS))

    assert [one["window_verdict"] for one in (first, again, second)] == ["drift"] * 3
    assert [one["retrain"] for one in (first, again, second)] == [False, False, True]
    assert "This window drifted, but not enough" in report_of(world, first)
    assert "2 of the last 2 windows drifted" in second["reason"]


def test_a_window_is_compared_with_its_season_if_enough_of_it_is_published(world: World) -> None:
    world.crown(world.train(22), 22)
    weekly = definition({"window": "1d", "season": {"every": "7d", "windows": 4}})
    found, early = (world.run("monitor", day, {}, weekly) for day in (DAYS, 20))

    assert found["verdict"] == "drift"
    assert "earlier windows of the same season" in report_of(world, found)
    assert "Only 2 earlier windows of the season are published" in early["reason"]
    assert early["verdict"] == "no drift"


def test_a_profile_that_an_older_version_has_is_not_enough(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.monitoring.check.FORMAT", 3)
    world.crown(world.train(22), 22)
    output = monitor(world, DAYS)

    assert (output["verdict"], output["retrain"]) == ("not enough data", False)
    assert "run the DAG late.train" in output["reason"]


def test_columns_that_went_or_came_are_named_and_the_others_judged(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.crown(world.train(22), 22)
    read = step._profile

    def other(files: Path) -> dict[str, Any]:
        profile = read(files)
        return profile | {
            "features": {"ghost" if name == "cargo" else name: one for name, one in profile["features"].items()}
        }

    monkeypatch.setattr(step, "_profile", other)
    output = monitor(world, 25)

    assert output["verdict"] == "no drift"
    assert "The features table no longer has ghost" in output["reason"]
    assert "New in the table, not judged" in report_of(world, output)


def test_the_champions_answers_are_judged_beside_the_data(world: World) -> None:
    version = world.crown(world.train(22), 22)
    said = {"row": 0, "at": as_of(DAYS) - timedelta(hours=1), "day": "2013-02-05", "segment": "s", "version": version}
    lines = [{**said, "request_id": f"r{n}", "position": n, "answered": True, "prediction": 0.999} for n in range(500)]
    OpenedTable(world.settings, "late", "inference").append(pa.Table.from_pylist(lines, INFERENCE), {}, {})  # type: ignore[arg-type]
    try:
        output = monitor(world, DAYS)
    finally:
        shutil.rmtree(table_folder(world.settings, "late", "inference"))

    assert [(one["source"], one["verdict"], one["rows"]) for one in output["predictions"]] == [
        ("requests", "drift", 500)
    ]
    check = find_checks(world.settings, "late", kind="prediction drift")[0]
    assert (check.stage, check.verdict, check.page) == ("requests", "drift", output["page"])
    assert check.details["features"][0]["size"] > 0.5
    assert "Answers of the server" in report_of(world, output)


def test_a_domain_classifier_needs_the_sample_that_a_version_is_trained_with(world: World) -> None:
    telling = definition({"domain_classifier": {"rows": 1000}})
    world.crown(world.train(22), 22)
    without = world.run("monitor", DAYS, {}, telling)
    training_set = world.run("assemble", 22, {}, telling)
    version = world.crown(world.run("train", 22, {"training_set": training_set}, telling), 22)
    found = world.run("monitor", DAYS, {}, telling)

    assert without["domain_classifier"] is None
    assert "trained without the sample" in without["reason"]
    assert found["champion_version"] == version == without["champion_version"] + 1
    assert found["domain_classifier"]["drifted"]
    assert found["domain_classifier"]["features"][0] == "far"
    assert "A classifier tells these rows from the training part" in found["reason"]


def publish_predictions(world: World, training: Document) -> None:
    gate = {"stage": "predictions", "verdict": "passed", "page": None}
    manifest = read_manifest(world.settings, training["staged"]).judged({}, gate)
    staged = write_manifest(world.settings, manifest, "gated.json")
    world.run("publish", 22, {"gate": gate | {"staged": staged}})


@contextmanager
def labelled_requests(world: World, version: int, rows: int = 600) -> Iterator[None]:
    """Answers to requests about the days before the last, and labels that have nothing to do with them."""
    random, start = np.random.default_rng(5), datetime(2013, 1, 26)  # noqa: DTZ001 - the source's clock
    same = {"row": 0, "at": as_of(DAYS), "segment": "s", "day": "2013-02-05"}
    said = [
        {**same, "request_id": f"r{n}", "position": n, "version": version, "role": "champion", "answered": True,
         "prediction": float(random.random()), "input_left_at": start + timedelta(days=n % 10)}
        for n in range(rows)
    ]  # fmt: skip
    labels = [
        {**same, "request_id": f"r{n}", "position": n, "item": 0, "received_at": as_of(DAYS), "label": n % 3 == 0}
        for n in [*range(0, rows, 2), rows + 1]  # the last is for a request that nobody knows
    ]
    inference = INFERENCE.append(pa.field("input_left_at", pa.timestamp("us")))
    for name, lines, schema in (("inference", said, inference), ("feedback", labels, FEEDBACK)):
        OpenedTable(world.settings, "late", name).append(pa.Table.from_pylist(lines, schema), {}, {})  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in ("inference", "feedback"):
            shutil.rmtree(table_folder(world.settings, "late", name))


def test_labels_that_came_with_the_data_say_that_the_answers_are_as_good_as_before(world: World) -> None:
    training = world.train(22)
    publish_predictions(world, training)
    world.crown(training, 22)
    output = monitor(world, 30, on_drift=False)

    [quality] = output["quality"]
    assert (quality["source"], quality["verdict"], quality["retrain"]) == ("data", "no decay", False)
    assert quality["labels"] > 1000
    check = find_checks(world.settings, "late", kind="decay")[0]
    assert (check.stage, check.verdict, check.subject) == ("data", "no decay", "2013-01-22..2013-01-29")
    assert {change["name"] for change in check.details["changes"]} == {"roc_auc"}
    page = report_of(world, output)
    assert "Labels that came with the data" in page
    assert {one["column"] for one in check.details["slices"]} == {"carrier"}
    assert {one["name"] for one in check.details["calibration"]} == {"mean error", "slope"}
    [estimate] = output["estimates"]
    assert (estimate["verdict"], estimate["window"]["last"]) == ("estimate", "2013-01-30")
    [kept] = find_checks(world.settings, "late", kind="estimated quality")
    assert (kept.stage, kept.verdict, kept.subject) == ("data", "estimate", "2013-01-22..2013-01-30")
    assert [one["made"] for one in check.details["estimates"]] == [None]

    monitor(world, 31, on_drift=False)
    [later] = find_checks(world.settings, "late", kind="decay", limit=1)
    assert later.details["window"] == kept.details["window"]
    assert later.details["estimates"][0]["made"] == kept.as_of.isoformat()
    assert later.details["held"]["roc_auc"][1] == 2


def test_data_whose_labels_are_not_known_yet_has_an_estimate_and_no_verdict(world: World) -> None:
    training = world.train(22)
    publish_predictions(world, training)
    world.crown(training, 22)
    late = judged_definition(label={"expression": "delay > 15", "known_after": "20d"})
    output = world.run("monitor", 30, {}, late)

    [quality], [estimate] = output["quality"], output["estimates"]
    assert (quality["verdict"], quality["labels"]) == ("not enough data", 0)
    assert quality["reason"].startswith(f"None of {estimate['rows']:,} answers has a label yet: no verdict on quality.")
    assert estimate["verdict"] in ("estimate", "warning")
    assert "no decay" not in report_of(world, output)


def test_a_version_from_before_estimates_is_judged_by_labels_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = world.train(22)
    publish_predictions(world, training)
    world.crown(training, 22)
    read = step._profile
    monkeypatch.setattr(step, "_profile", lambda files: {k: v for k, v in read(files).items() if k != "confidence"})
    output = monitor(world, 30, on_drift=False)

    assert [one["verdict"] for one in output["quality"]] == ["no decay"]
    assert "The version was made before what an estimate needs was kept with it" in output["estimates"][0]["reason"]


def test_worse_answers_to_requests_are_decay_and_start_one_retraining(world: World) -> None:
    training = world.train(22)
    publish_predictions(world, training)
    version = world.crown(training, 22)
    with labelled_requests(world, version):
        forbidden = monitor(world, DAYS, on_drift=False, on_decay=False)
        first, again = (monitor(world, DAYS, on_drift=False) for _ in range(2))

    found = {one["source"]: one for one in first["quality"]}
    assert found["requests"]["verdict"] == "decay"
    assert "It rests on 300 labels of 600 answers." in found["requests"]["reason"]
    assert "Labels for requests that are not in the log, which count for nothing: 1." in found["requests"]["reason"]
    assert first["retrain"]
    assert first["start_id"].startswith("decay-")
    assert (again["retrain"], again["start_id"]) == (True, first["start_id"])
    assert not forbidden["retrain"]
    assert "The newest data has drifted, and the champion&#39;s answers have become worse" in report_of(world, first)


def test_drift_and_decay_together_start_one_retraining(world: World) -> None:
    training = world.train(22)
    publish_predictions(world, training)
    version = world.crown(training, 22)
    with labelled_requests(world, version):
        output = monitor(world, DAYS)

    assert output["start_id"].startswith("drift-")
    assert [one["retrain"] for one in output["quality"] if one["verdict"] == "decay"] == [False]


def test_without_the_holdouts_answers_quality_is_not_known(world: World) -> None:
    world.crown(world.train(22, seed=8), 22)
    [quality] = monitor(world, 30)["quality"]

    assert quality["verdict"] == "not enough data"
    assert "holdout part are not published" in quality["reason"]


def test_labels_that_show_a_gap_between_groups_are_an_alarm(world: World) -> None:
    training = world.train(22)
    publish_predictions(world, training)
    world.crown(training, 22)
    rules = [
        {"column": "carrier", "measure": "demographic_parity_difference", "limit": 0.0},
        {"column": "carrier", "measure": "equalized_odds_difference", "limit": 1.0},
    ]
    evaluation = judged_definition().evaluation.model_dump()
    output = world.run("monitor", 30, {}, judged_definition(evaluation=evaluation | {"fairness": rules}))

    [kept] = find_checks(world.settings, "late", kind="fairness gap")
    assert (kept.stage, kept.verdict, kept.details["champion_version"]) == ("data", "fairness gap", 1)
    assert "allowed is at most 0" in kept.details["reason"]
    assert "Equalized" not in kept.details["reason"]
    assert "fairness_gap" in {alert.event for alert in find_news(world.settings, "late", Alerts(), PLACES)}
    assert "between the groups of carrier" in report_of(world, output)

    world.run("monitor", 31, {}, judged_definition(evaluation=evaluation | {"fairness": rules[1:]}))
    [later, _] = find_checks(world.settings, "late", kind="fairness gap")
    assert later.verdict == "no gap"
