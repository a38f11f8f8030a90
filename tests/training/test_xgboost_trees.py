from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from include.training.matrices import Encoded
from include.training.packaged_model import probability_or_value
from include.training.parameters import ParameterRefused
from tests.training.factories import make_definition, make_package, make_rows, train_model

FEATURES = [{"name": "a", "type": "numeric"}, {"name": "b", "type": "category", "categories": ["x", "y", "z"]}]


def parts(rows: int = 2000, *, seed: int = 3) -> tuple[Encoded, Encoded]:
    random = np.random.default_rng(seed)
    made = []
    for count in (rows, rows // 4):
        matrix = np.column_stack([random.normal(size=count), random.integers(0, 3, count)]).astype(np.float32)
        matrix[random.random(matrix.shape) < 0.05] = np.nan
        signal = np.nan_to_num(matrix[:, 0]) + (matrix[:, 1] == 2) + random.normal(size=count)
        made.append(Encoded(matrix=matrix, labels=(signal > 0.5).astype(np.float32)))
    return made[0], made[1]


def ubj(trained: Any) -> bytes:
    return bytes(trained.estimator.booster.save_raw(raw_format="ubj"))


@pytest.mark.parametrize("refit", ["none", "validation"])
def test_one_and_two_threads_and_another_run_give_the_same_bytes(refit: str) -> None:
    definition = make_definition(training={"refit": refit, "rounds": 15})
    train, validation = parts(8_000)
    made = [ubj(train_model(definition, FEATURES, train, validation, threads=n)) for n in (1, 2, 2)]
    assert len(set(made)) == 1


def test_the_bytes_tell_nothing_of_the_run() -> None:
    trained = train_model(make_definition(), FEATURES, *parts(), threads=2)
    saved = ubj(trained)
    for word in (b"nthread", b"best_iteration", b"best_score", b"timestamp", b"/tmp", b"/home"):
        assert word not in saved


def test_another_seed_gives_another_model() -> None:
    train, validation = parts()
    first, second = (train_model(make_definition(training={"seed": s}), FEATURES, train, validation) for s in (1, 2))
    assert ubj(first) != ubj(second)


def test_training_stops_early_and_keeps_the_best_rounds_only() -> None:
    train, validation = parts()
    trained = train_model(make_definition(training={"rounds": 200}), FEATURES, train, validation)
    curve = trained.curves["validation"]["logloss"]
    assert trained.best_round == int(np.argmin(curve)) + 1
    assert trained.estimator.booster.num_boosted_rounds() == trained.best_round
    assert len(curve) == trained.best_round + 5


def test_refit_trains_on_both_parts_with_the_found_rounds() -> None:
    train, validation = parts()
    plain = train_model(make_definition(), FEATURES, train, validation)
    refit = train_model(make_definition(training={"refit": "validation"}), FEATURES, train, validation)
    assert (refit.best_round, refit.curves) == (plain.best_round, plain.curves)
    assert ubj(refit) != ubj(plain)
    matrix = validation.matrix
    assert not np.array_equal(refit.estimator.predict(matrix), plain.estimator.predict(matrix))


def test_importance_names_every_feature() -> None:
    train, validation = parts()
    blind = Encoded(
        matrix=np.column_stack([train.matrix, np.full(len(train.matrix), np.nan, np.float32)]), labels=train.labels
    )
    unseen = Encoded(
        matrix=np.column_stack([validation.matrix, np.full(len(validation.matrix), np.nan, np.float32)]),
        labels=validation.labels,
    )
    trained = train_model(make_definition(), [*FEATURES, {"name": "empty", "type": "numeric"}], blind, unseen)
    assert trained.importance["a"] > trained.importance["b"] > 0
    assert trained.importance["empty"] == 0


def test_regression_predicts_values(tmp_path: Path) -> None:
    definition = make_definition(task="regression", label={"expression": "delay"})
    rows = make_rows(2000)
    model, _, trained = make_package(tmp_path, definition, rows)
    predicted = model.predict(None, rows)["prediction"].to_numpy()
    assert predicted.min() < 0 < predicted.max()
    assert np.corrcoef(predicted, rows["delay"])[0, 1] > 0.6
    assert set(trained.curves["validation"]) == {"mae", "rmse"}


@pytest.mark.parametrize(
    ("params", "cure"),
    [
        ({"max_dept": 3}, "XGBoost knows no parameter .*max_dept"),
        ({"max_depth": -3}, "XGBoost refuses them"),
        ({"nthread": 4}, r"Noria sets 'nthread' itself\. Use `training\.resources\.cpu`"),
        ({"seed": 4}, r"training\.seed"),
        ({"tree_method": "approx"}, "sets 'tree_method' itself. Remove it; hist is always used"),
    ],
)
def test_parameters_that_cannot_work_are_refused_with_a_cure(params: dict[str, Any], cure: str) -> None:
    with pytest.raises(ParameterRefused, match=cure):
        train_model(make_definition(training={"params": params}), FEATURES, *parts(200))


@pytest.mark.parametrize(("direction", "sign"), [("increasing", 1), ("decreasing", -1)])
def test_a_monotone_feature_moves_the_prediction_one_way_only(direction: str, sign: int) -> None:
    random = np.random.default_rng(5)
    values = random.uniform(-3, 3, (3000, 2)).astype(np.float32)
    labels = (np.sin(3 * values[:, 0]) + values[:, 1] + random.normal(size=3000) > 0).astype(np.float32)
    train, validation = Encoded(matrix=values, labels=labels), Encoded(matrix=values[:700], labels=labels[:700])
    features = [{"name": name, "type": "numeric"} for name in ("wave", "line")]
    line = np.linspace(-3, 3, 200, dtype=np.float32)
    steps = {}
    for name, monotone in (("free", {}), ("bound", {"wave": direction})):
        definition = make_definition(
            features={"wave": {"expression": "distance"}, "line": {"expression": "seats"}},
            training={"monotone": monotone},
        )
        booster = train_model(definition, features, train, validation, threads=1).estimator.booster
        answers = [
            probability_or_value(booster, np.column_stack([line, np.full(200, at, np.float32)])) for at in (-1, 1)
        ]
        steps[name] = sign * np.diff(answers)
    assert steps["bound"].min() >= 0
    assert steps["free"].min() < 0, "without the constraint it follows the wave"


def test_a_balanced_weight_lifts_a_rare_class_and_ranks_no_worse() -> None:
    train, validation = parts(6000)
    rare = Encoded(matrix=train.matrix, labels=(train.labels * (np.arange(6000) % 25 == 0)).astype(np.float32))
    plain, balanced = (
        train_model(make_definition(training={"class_weight": weight}), FEATURES, rare, validation, threads=1)
        for weight in ("none", "balanced")
    )
    positive = float(rare.labels.sum())
    assert balanced.parameters["scale_pos_weight"] == (6000 - positive) / positive
    assert "scale_pos_weight" not in plain.parameters
    answers = [one.estimator.predict(validation.matrix) for one in (plain, balanced)]
    assert answers[0].mean() < 0.1
    assert answers[1].mean() > 0.3
