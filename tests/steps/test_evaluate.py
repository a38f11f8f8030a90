"""The step evaluate: the champion on the very same rows, or a reason why not; never silence."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from include.alerts.news import find_news
from include.evaluation.fairness import WindowsUnknown
from include.evaluation.holdout import TrainingSetIncomplete
from include.evaluation.logged_models import ModelAway, ModelBroken
from include.lake.table import LakeTable
from include.registry.deployed import champion
from include.registry.results import find_checks
from include.registry.state import switch_champion
from include.spec.alerts import Alerts
from include.steps.protocol import Document
from tests.alerts.conftest import PLACES
from tests.steps.judging_world import World, judged_definition, report_of

pytestmark = pytest.mark.database
Evaluate = Callable[..., Document]


def test_without_a_champion_it_is_measured_beside_the_baselines(world: World, evaluate: Evaluate) -> None:
    training = world.train(22)
    output = evaluate(training, 22)
    predicted = pd.read_parquet(world.settings.store / training["predictions"])

    assert output["champion"] is None
    assert output["comparison"]["status"] == "none"
    assert output["fair"]
    expected = roc_auc_score(predicted["label"], predicted["prediction"])
    assert output["challenger"]["roc_auc"]["value"] == pytest.approx(expected)
    assert output["baselines"]["naive"]["roc_auc"]["value"] == 0.5
    assert output["improvements"]["naive"]["log_loss"]["low"] > 0
    assert output["rows"] == len(predicted)


def test_report_page_and_check_result_are_written(world: World, evaluate: Evaluate) -> None:
    output = evaluate(world.train(22), 22)
    report = json.loads((world.settings.store / output["report"]).read_text())
    page = report_of(world, output)

    assert {one["column"] for one in report["slices"]} == {"carrier"}
    assert "ROC AUC" in page
    assert "<script" not in page
    assert find_checks(world.settings, "late", kind="evaluation")[0].page == output["page"]
    assert len(json.dumps(output)) < 20_000


def test_a_holdout_of_three_days_is_resampled_by_rows_and_everyone_is_told(world: World, evaluate: Evaluate) -> None:
    output = evaluate(world.train(22), 22)

    assert output["resampling"]["unit"] == "row"
    assert "from 3 partitions, and fewer than 10" in output["resampling"]["reason"]
    assert "Intervals come from single rows: the rows come from 3 partitions" in report_of(world, output)


def test_the_champion_predicts_the_very_same_rows(world: World, evaluate: Evaluate) -> None:
    champion = world.train(18)
    version = world.crown(champion, 18)
    output = evaluate(world.train(22), 22)

    assert output["comparison"]["status"] == "fair"
    assert output["champion_version"] == version
    assert output["comparison"]["rows"] == output["rows"]
    low, high = (output["improvements"]["champion"]["roc_auc"][end] for end in ("low", "high"))
    assert low < high


def test_another_champion_gives_its_own_logged_predictions(world: World, evaluate: Evaluate) -> None:
    champion = world.train(22, rounds=1)
    world.crown(champion, 22)
    output = evaluate(world.train(22), 22)
    predicted = pd.read_parquet(world.settings.store / champion["predictions"])

    expected = roc_auc_score(predicted["label"], predicted["prediction"])
    assert output["champion"]["roc_auc"]["value"] == pytest.approx(expected, abs=1e-12)


def test_only_rows_that_the_champion_has_not_seen_are_compared(world: World, evaluate: Evaluate) -> None:
    world.crown(world.train(24), 24)  # validated on 18 to 20 January; the challenger's holdout is 19 to 21
    output = evaluate(world.train(22), 22)
    times = pd.read_parquet(world.settings.store / world.train(22)["training_set"]["directory"] / "holdout.parquet")
    unseen = int((times["left_at"] >= np.datetime64("2013-01-21")).sum())

    assert output["comparison"]["status"] == "part"
    assert output["fair"]
    assert output["comparison"]["rows"] == unseen < output["rows"]
    assert f"the other {unseen:,}" in output["comparison"]["reason"]


def test_a_champion_that_has_seen_all_rows_is_no_fair_comparison(world: World, evaluate: Evaluate) -> None:
    world.crown(world.train(30, rounds=1), 30)
    output = evaluate(world.train(22), 22)

    assert not output["fair"]
    assert "was trained or validated on" in output["unfair_reason"]
    assert output["champion"] is None
    assert "champion" not in output["improvements"]


@pytest.mark.parametrize("change", [{}, {"fingerprint": "another"}])
def test_a_model_is_never_compared_with_itself(world: World, evaluate: Evaluate, change: dict[str, str]) -> None:
    training = world.train(22)
    world.crown(training, 22, **change)
    output = evaluate(training, 22)

    assert output["comparison"]["status"] == "self"
    assert "already champion" in output["unfair_reason"]
    assert output["champion"] is None


def test_a_champion_whose_artifact_is_gone_is_an_error_not_no_champion(world: World, evaluate: Evaluate) -> None:
    world.crown(world.train(18), 18, model_uri="models:/m-00000000000000000000000000000000")

    with pytest.raises(ModelAway, match="Nothing is promoted without a comparison"):
        evaluate(world.train(22), 22)


def test_a_champion_whose_files_are_not_the_registered_ones_is_an_error(world: World, evaluate: Evaluate) -> None:
    world.crown(world.train(18), 18, artifact_digest="0" * 64)

    with pytest.raises(ModelBroken, match="but 0000"):
        evaluate(world.train(22), 22)


def test_a_champion_whose_windows_nobody_knows_is_an_error(world: World, evaluate: Evaluate) -> None:
    world.crown(world.train(18), 18, windows={})

    with pytest.raises(WindowsUnknown):
        evaluate(world.train(22), 22)


def test_predictions_for_other_rows_are_an_error(world: World, evaluate: Evaluate) -> None:
    training = dict(world.train(22))
    rows = pd.read_parquet(world.settings.store / training["predictions"])
    training["predictions"] = "wrong.parquet"
    for broken in (rows.iloc[1:], rows.assign(_row=rows["_row"] + 100_000), rows.assign(label=1 - rows["label"])):
        broken.to_parquet(world.settings.store / "wrong.parquet")
        with pytest.raises(TrainingSetIncomplete, match=r"wrong\.parquet"):
            evaluate(training, 22)


def test_a_training_set_without_its_files_is_an_error(world: World, evaluate: Evaluate) -> None:
    training = world.train(22)
    moved = training["training_set"] | {"directory": "nowhere"}

    with pytest.raises(TrainingSetIncomplete, match="is missing"):
        evaluate(training | {"training_set": moved}, 22)


def test_evaluating_twice_gives_the_same_numbers(world: World, evaluate: Evaluate) -> None:
    world.crown(world.train(18), 18)

    assert evaluate(world.train(22), 22) == evaluate(world.train(22), 22)


def test_disturbed_inputs_are_answered_by_the_packaged_model_and_shown(world: World) -> None:
    robustness = [
        {"kind": "missing", "amount": 1.0, "columns": ["carrier"], "tolerance": 0.0},
        {"kind": "noise", "amount": 0.1},
    ]
    evaluation = judged_definition().evaluation.model_dump() | {"robustness": robustness}
    definition = judged_definition(evaluation=evaluation)
    training = world.train(22)
    output = world.run("evaluate", 22, {"training": training}, definition)

    found = output["robustness"]
    assert [one["columns"] for one in found] == [["carrier"], ["distance", "seats"]]
    assert found[0]["undisturbed"]["value"] == pytest.approx(output["challenger"]["roc_auc"]["value"])
    assert found[0]["change"]["value"] < 0
    page = report_of(world, output)
    assert "<h2>Robustness</h2>" in page
    assert "an error of 0.1 standard deviations on every input that it fits" in page
    decision = world.run("decide", 22, {"training": training, "evaluation": output}, definition)
    assert "100 % of the values missing in carrier: failed by" in decision["reason"]
    assert not decision["promote"]


def test_a_challenger_whose_files_are_not_its_own_is_not_judged(world: World) -> None:
    evaluation = judged_definition().evaluation.model_dump() | {"robustness": [{"kind": "noise", "amount": 0.1}]}
    training = world.train(22) | {"artifact_digest": "0" * 64}
    with pytest.raises(ModelBroken, match=r"The challenger cannot be used: its files have the digest .*, but 0000"):
        world.run("evaluate", 22, {"training": training}, judged_definition(evaluation=evaluation))


def test_the_objective_may_read_columns_that_no_request_carries(world: World, evaluate: Evaluate) -> None:
    training = world.train(22)
    expression = "CASE WHEN decision THEN delay ELSE distance / 100 END"
    objective = {"expression": expression, "goal": "greater", "title": "Minutes foreseen"}
    document = judged_definition().evaluation.model_dump(mode="json") | {"objective": objective}
    output = evaluate(training, 22, definition=judged_definition(evaluation=document))
    folder = world.settings.store / training["training_set"]["directory"]
    predicted = pd.read_parquet(world.settings.store / training["predictions"])["prediction"]
    raw = LakeTable(world.settings, "late", "raw").dataset().to_table().to_pandas()
    rows = pd.read_parquet(folder / "holdout.parquet")[["partition", "_row"]].astype({"partition": str})
    rows = rows.merge(raw.astype({"partition": str}), on=["partition", "_row"], validate="one_to_one")
    expected = np.nanmean(np.where(predicted >= 0.3, rows["delay"], rows["distance"] / 100))  # null does not count

    assert "delay" not in pd.read_parquet(folder / "holdout_inputs.parquet")
    assert output["challenger"]["objective"]["value"] == pytest.approx(expected)
    assert "Minutes foreseen" in report_of(world, output)


OBJECTIVE = {"expression": "CASE WHEN decision THEN delay - 20 ELSE 0 END", "goal": "greater"}


@pytest.mark.parametrize("worth", [{"costs": {"false_positive": 1.0, "false_negative": 9.0}}, {"objective": OBJECTIVE}])
def test_a_version_is_judged_at_the_threshold_that_is_best_on_its_validation_part(
    world: World, evaluate: Evaluate, worth: Document
) -> None:
    said = judged_definition().evaluation.model_dump(mode="json", exclude={"threshold"})
    definition = judged_definition(
        evaluation=said | worth | {"threshold_from": "validation"}, training={"refit": "validation"}
    )
    training = world.run("train", 22, {"training_set": world.run("assemble", 22, {}, definition)}, definition)
    output = evaluate(training, 22, definition)
    folder = world.settings.store / training["training_set"]["directory"]
    predicted = pd.read_parquet(world.settings.store / training["validation_predictions"])
    rows = pd.read_parquet(folder / "validation.parquet")
    raw = LakeTable(world.settings, "late", "raw").dataset().to_table().to_pandas().astype({"partition": str})
    rows = rows.astype({"partition": str})[["partition", "_row"]].merge(raw, on=["partition", "_row"])

    def value(threshold: float) -> float:
        yes = predicted["prediction"].to_numpy() >= threshold
        if "costs" in worth:
            label = predicted["label"].to_numpy() == 1
            return float(np.where(yes & ~label, 1.0, 0.0).sum() + np.where(~yes & label, 9.0, 0.0).sum())
        return float(-np.nansum(np.where(yes, rows["delay"] - 20, 0.0)))

    found = output["threshold"]
    assert value(found) == pytest.approx(min(value(at) for at in np.linspace(0.005, 0.995, 199)), rel=1e-2)
    assert value(found) <= min(value(at) for at in np.linspace(0.005, 0.995, 199)) + 1e-9
    assert "Threshold, found on the validation part" in report_of(world, output)
    decision = world.run("decide", 22, {"training": training, "evaluation": output}, definition)
    registered = world.run(
        "register", 22, {"training": training, "evaluation": output, "decision": decision}, definition
    )
    switch_champion(world.settings, "late", registered["version"], actor="test", reason="test")
    now = champion(world.settings, "late")
    assert now is not None
    assert now.threshold == found
    again = world.run("train", 22, {"training_set": training["training_set"]}, definition)
    assert again["reused"]
    assert again["validation_predictions"] == training["validation_predictions"]


def test_importance_is_compared_with_the_champions_and_fairness_is_a_gate(world: World) -> None:
    world.crown(world.train(22), 22)
    challenger = world.train(29, seed=8)
    rule = {"column": "carrier", "measure": "demographic_parity_difference", "limit": 0.0}
    wanted = judged_definition().evaluation.model_dump() | {
        "importance": {"rows": 200, "jump": 1e-6},
        "fairness": [rule],
    }
    definition = judged_definition(evaluation=wanted)
    output = world.run("evaluate", 29, {"training": challenger}, definition)

    report = json.loads((world.settings.store / output["report"]).read_text())
    importance = report["importance"]
    assert importance["rows"] == 200
    assert sum(one["share"] for one in importance["features"]) == pytest.approx(1)
    assert sum(one["before"] for one in importance["features"]) == pytest.approx(1)
    [kept] = find_checks(world.settings, "late", kind="importance jump")
    beside = champion(world.settings, "late")
    assert beside is not None
    assert (kept.verdict, kept.details["champion_version"]) == ("importance jump", beside.version)
    found = {one.event: one for one in find_news(world.settings, "late", Alerts(), PLACES)}
    alert = found["importance_jump"]
    assert alert.links["dag"] == PLACES.dag("late.train")
    assert alert.reason == importance["jump"]["reason"]
    page = report_of(world, output)
    for words in ("SHAP summary", "jumped", "Demographic parity difference between the groups of carrier"):
        assert words in page

    decision = world.run("decide", 29, {"training": challenger, "evaluation": output}, definition)
    assert not decision["promote"]
    assert "Demographic parity difference between the groups of carrier at most 0: failed by" in decision["reason"]
