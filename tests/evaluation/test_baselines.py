"""The baselines: deterministic, fitted on the training part only, unharmed by what real data holds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import r2_score, roc_auc_score

from include.evaluation.baselines import linear_baseline, naive_baseline
from include.spec.definition import FeatureType

FEATURES: dict[str, FeatureType] = {"size": "numeric", "kind": "category", "flag": "boolean"}


def frame(rows: int, seed: int, task: str = "binary_classification") -> pd.DataFrame:
    random = np.random.default_rng(seed)
    size, kind = random.normal(50, 10, rows), random.choice(["a", "b", "c"], rows)
    signal = (size - 50) / 10 + np.where(kind == "a", 2.0, 0.0)
    yes = (random.random(rows) < 1 / (1 + np.exp(-signal))).astype(float)
    size[::17] = np.nan
    size[1] = np.inf
    flag = pd.array(random.random(rows) < 0.5, dtype="boolean")
    flag[::11] = pd.NA
    text = pd.Series(kind, dtype=object).mask(np.arange(rows) % 13 == 0)
    label = yes if task == "binary_classification" else signal
    return pd.DataFrame({"feature_size": size, "feature_kind": text, "feature_flag": flag, "label": label})


def test_the_naive_baseline_says_the_training_parts_rate_for_every_row() -> None:
    baseline = naive_baseline("binary_classification", np.array([0, 0, 0, 1.0]), 3)

    assert baseline.predictions.tolist() == [0.25, 0.25, 0.25]


def test_logistic_regression_finds_what_numbers_and_categories_say_despite_missing_values() -> None:
    holdout = frame(2000, 1)
    baseline = linear_baseline("binary_classification", FEATURES, frame(4000, 0), holdout)

    assert roc_auc_score(holdout["label"], baseline.predictions) > 0.7
    assert "logistic regression on 5 columns" in baseline.description


def test_ridge_regression_finds_what_numbers_and_categories_say() -> None:
    holdout = frame(2000, 1, "regression")
    baseline = linear_baseline("regression", FEATURES, frame(4000, 0, "regression"), holdout)

    assert r2_score(holdout["label"], baseline.predictions) > 0.7


def test_fitting_twice_gives_the_same_predictions() -> None:
    first, second = (
        linear_baseline("binary_classification", FEATURES, frame(1000, 0), frame(500, 1)).predictions for _ in range(2)
    )

    assert np.array_equal(first, second)


def test_a_row_is_predicted_the_same_whatever_rows_stand_beside_it() -> None:
    holdout = frame(500, 1)
    together = linear_baseline("binary_classification", FEATURES, frame(1000, 0), holdout).predictions
    alone = linear_baseline("binary_classification", FEATURES, frame(1000, 0), holdout.iloc[7:8]).predictions

    assert together[7] == pytest.approx(alone[0], abs=1e-12)


def test_a_training_part_of_one_class_gives_the_naive_answer_and_says_so() -> None:
    train = frame(200, 0).assign(label=0.0)
    baseline = linear_baseline("binary_classification", FEATURES, train, frame(50, 1))

    assert set(baseline.predictions) == {0.0}
    assert "all its labels are the same" in baseline.description


def test_unseen_categories_and_columns_without_any_value_do_no_harm() -> None:
    train = frame(500, 0).assign(feature_size=np.nan)
    holdout = frame(100, 1).assign(feature_kind="never seen")

    assert np.isfinite(linear_baseline("binary_classification", FEATURES, train, holdout).predictions).all()
