"""What is learnt of a holdout part for estimates: calibration, errors, how days differ; or why nothing can be."""

from __future__ import annotations

import json

import numpy as np
import pytest

from include.training.confidence import by_class, calibrated, fit_calibration, learn_confidence

DAYS = np.array([f"2013-01-{1 + row % 28:02d}" for row in range(6000)])


def logistic(scores: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-scores)))


def test_a_model_that_is_too_sure_gets_the_slope_that_makes_it_right() -> None:
    random = np.random.default_rng(1)
    scores = random.normal(0, 1.5, 6000)
    labels = (random.random(6000) < logistic(scores)).astype(float)
    said = logistic(2 * scores + 1)
    fitted = fit_calibration(labels, said, DAYS)

    assert fitted is not None
    error = float(np.sqrt(fitted.covariance[0, 0]))
    assert abs(fitted.parameters[0] - 0.5) < 4 * error < 0.2
    right = calibrated(by_class(said), fitted.parameters)[:, 1]
    assert abs(right.mean() - labels.mean()) < 0.005


def test_several_classes_are_brought_to_their_shares() -> None:
    random = np.random.default_rng(2)
    said = random.dirichlet([2, 1, 1], 6000)
    truth = said * [1, 3, 1]
    truth /= truth.sum(axis=1, keepdims=True)
    labels = (random.random((6000, 1)) > np.cumsum(truth, axis=1)[:, :-1]).sum(axis=1).astype(float)
    fitted = fit_calibration(labels, said, DAYS)

    assert fitted is not None
    assert fitted.parameters == pytest.approx([1, np.log(3), 0], abs=0.15)


def test_days_that_differ_are_told_from_rows_that_do() -> None:
    random = np.random.default_rng(3)
    scores, days = random.normal(0, 1, 6000), random.normal(0, 0.7, 28)[np.arange(6000) % 28]
    said, draws = logistic(scores), random.random(6000)
    alike, apart = (
        fit_calibration((draws < logistic(scores + luck)).astype(float), said, DAYS) for luck in (0 * days, days)
    )

    assert alike is not None
    assert apart is not None
    assert apart.units == 28
    assert apart.shared[1, 1] > 5 * alike.shared[1, 1]
    assert np.linalg.eigvalsh(apart.shared).min() > -1e-12


def test_errors_of_a_regression_are_kept_by_predicted_value() -> None:
    random = np.random.default_rng(4)
    said = random.uniform(1, 10, 6000)
    learnt = learn_confidence("regression", said + said * random.normal(0, 1, 6000), said, DAYS)

    assert learnt["sizes"][-1] > 4 * learnt["sizes"][0]
    assert len(learnt["residuals"]) == len(learnt["edges"]) + 1
    assert json.loads(json.dumps(learnt, allow_nan=False)) == learnt


@pytest.mark.parametrize(
    ("labels", "said", "why"),
    [
        (np.arange(50) % 2, np.full(50, 0.5), "50 rows"),
        (np.zeros(500), np.full(500, 0.5), "one class only"),
        (np.arange(500) % 2, np.where(np.arange(500) == 3, np.nan, 0.5), "no number"),
        (np.arange(500) % 2, 1 - np.arange(500) % 2 * 0.8, "said nothing"),
    ],
)
def test_where_nothing_can_be_learnt_it_is_said_why(labels: np.ndarray, said: np.ndarray, why: str) -> None:
    learnt = learn_confidence("binary_classification", labels, said, None)

    assert list(learnt) == ["reason"]
    assert why in learnt["reason"]
