"""Disturbed inputs: only what is named changes, in the form in which it is read, and the fall is measured in pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.evaluation.comparison import Judging
from include.evaluation.decision import Standing, decide
from include.evaluation.holdout import Holdout
from include.evaluation.robustness import UNSEEN, describe, disturb, disturbed_columns, judge_robustness
from include.spec.definition import Gate
from include.spec.robustness import Disturbance
from tests.evaluation.test_decision import AS_OF
from tests.training.factories import make_definition, make_package, make_rows

TYPES: dict[str, Any] = {
    "left_at": "timestamp", "carrier": "string", "distance": "number", "seats": "integer", "cargo": "boolean",
}  # fmt: skip
JUDGING = Judging(task="binary_classification", threshold=0.5, rounds=100, confidence=0.95, seed=7)
ROWS = make_rows(3000).astype({"seats": object, "cargo": object}).replace({pd.NA: None})


def disturbed(kind: str, amount: float, *columns: str, seed: int = 1) -> pd.DataFrame:
    wanted = Disturbance.model_validate({"kind": kind, "amount": amount, "columns": list(columns) or None})
    chosen = {name: TYPES[name] for name in disturbed_columns(wanted, TYPES)}
    return disturb(wanted, ROWS, chosen, np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("kind", "fits"),
    [
        ("noise", ["distance", "seats"]),
        ("missing", ["carrier", "distance", "seats", "cargo"]),
        ("scale", ["distance", "seats"]),
        ("unseen", ["carrier"]),
    ],
)
def test_without_columns_every_input_that_it_fits_is_disturbed_and_nothing_else(kind: str, fits: list[str]) -> None:
    before, after = ROWS.copy(deep=True), disturbed(kind, 0.5)
    assert [name for name in ROWS if not ROWS[name].equals(after[name])] == fits
    pd.testing.assert_frame_equal(ROWS, before)  # the rows themselves stay


def test_noise_is_as_large_as_it_says_and_nulls_stay_null() -> None:
    after = disturbed("noise", 0.5, "distance")["distance"]
    error = (after - ROWS["distance"]).dropna()
    assert error.std() == pytest.approx(0.5 * ROWS["distance"].std(), rel=0.06)
    assert after.isna().equals(ROWS["distance"].isna())


@pytest.mark.parametrize(("kind", "amount"), [("noise", 0.3), ("scale", 1.609), ("missing", 0.2)])
def test_a_whole_number_stays_one(kind: str, amount: float) -> None:
    values = disturbed(kind, amount, "seats")["seats"]
    assert {type(value) for value in values} == {int, type(None)}


def test_gaps_and_strangers_have_their_share() -> None:
    gaps = disturbed("missing", 0.3, "cargo")["cargo"]
    assert gaps.isna().mean() == pytest.approx(1 - 0.7 * ROWS["cargo"].notna().mean(), abs=0.03)
    strangers = disturbed("unseen", 0.3, "carrier")["carrier"]
    assert (strangers == UNSEEN).mean() == pytest.approx(0.3, abs=0.03)
    assert UNSEEN not in set(ROWS["carrier"])


def test_the_same_seed_disturbs_in_the_same_way() -> None:
    pd.testing.assert_frame_equal(disturbed("noise", 0.5), disturbed("noise", 0.5))
    assert not disturbed("noise", 0.5).equals(disturbed("noise", 0.5, seed=2))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"kind": "noise", "amount": 0.1}, "an error of 0.1 standard deviations on every input that it fits"),
        ({"kind": "missing", "amount": 0.05, "columns": ["a", "b"]}, "5 % of the values missing in a and b"),
        ({"kind": "scale", "amount": 1.609, "columns": ["a"]}, "a times 1.609"),
        ({"kind": "unseen", "amount": 1.0, "columns": ["a"]}, "100 % of the values never seen before in a"),
    ],
)
def test_a_disturbance_is_said_in_words(given: dict[str, Any], words: str) -> None:
    assert describe(Disturbance.model_validate(given), given.get("columns") or ["a"]) == words


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """A real packaged model, which lives on the hour and on the carrier, under disturbances."""
    robustness = [
        {"kind": "missing", "amount": 1.0, "columns": ["carrier"], "tolerance": 0.001},
        {"kind": "noise", "amount": 1e-9, "tolerance": 0.001, "metric": "log_loss"},
        {"kind": "scale", "amount": 1000.0, "columns": ["distance"]},
    ]
    definition = make_definition(evaluation={"robustness": robustness})
    model, _, _ = make_package(tmp_path_factory.mktemp("package"), definition, make_rows(4000))
    predictions = model.predict_frame(ROWS)
    labels = (ROWS["delay"] > 15).to_numpy(dtype=np.float64)
    frame = pd.DataFrame({"partition": ["2013-01-01"] * len(ROWS)})
    holdout = Holdout(directory=Path(), frame=frame, labels=labels, predictions=predictions, inputs=ROWS, train=frame)
    return judge_robustness(definition, JUDGING, holdout, model.predict_frame)


def test_what_the_model_lives_on_costs_it_and_what_it_does_not_need_does_not(judged: list[dict[str, Any]]) -> None:
    no_carrier, hardly_any_noise, _ = judged
    assert no_carrier["change"]["high"] < -0.01
    change = no_carrier["disturbed"]["value"] - no_carrier["undisturbed"]["value"]
    assert no_carrier["change"]["value"] == pytest.approx(change)
    assert hardly_any_noise["metric"] == "log_loss"
    assert abs(hardly_any_noise["change"]["value"]) < 1e-4


def test_a_tolerance_is_a_gate_and_the_reason_names_disturbance_and_excess(judged: list[dict[str, Any]]) -> None:
    estimate = {"value": 0.8, "low": 0.7, "high": 0.9}
    document = {
        "challenger": {"roc_auc": estimate}, "improvements": {}, "robustness": judged, "fair": True,
        "comparison": {"status": "none", "champion_version": None, "reason": None},
    }  # fmt: skip
    gates = [Gate(metric="roc_auc", at_least=0.5)]
    decision = decide("binary_classification", gates, document, Standing(), as_of=AS_OF)
    assert [(gate.metric, gate.passed) for gate in decision.gates] == [
        ("roc_auc", True), ("roc_auc", False), ("log_loss", True),
    ]  # fmt: skip
    assert not decision.promote
    excess = -judged[0]["change"]["low"] - 0.001
    assert f"with 100 % of the values missing in carrier: failed by {excess:.4g}" in decision.reason


def test_a_change_without_an_interval_does_not_pass(judged: list[dict[str, Any]]) -> None:
    unknown = judged[0] | {"change": {"value": None, "low": None, "high": None, "reason": "no row has the label 1"}}
    document = {
        "challenger": {},
        "improvements": {},
        "robustness": [unknown],
        "fair": True,
        "comparison": {"status": "none"},
    }
    [gate] = decide("binary_classification", [], document, Standing(), as_of=AS_OF).gates
    assert not gate.passed
    assert "no row has the label 1" in gate.sentence()
