"""Calibration: probabilities come true, no ranking changes, and the trees alone carry it."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from include.training.calibration import Sigmoid, calibrated, fit_sigmoid
from include.training.matrices import Encoded
from include.training.trainers.protocol import Trained
from tests.training.factories import make_definition, train_model
from tests.training.test_xgboost_trees import FEATURES, parts, ubj

TRAIN, VALIDATION = parts(6000)
FRESH = parts(6000, seed=11)[0]


def trained(threads: int = 1, **training: object) -> Trained:
    return train_model(make_definition(training=training), FEATURES, TRAIN, VALIDATION, threads=threads)


def scores_of(one: Trained, part: Encoded) -> np.ndarray:
    return np.asarray(one.estimator.booster.inplace_predict(part.matrix, predict_type="margin"), dtype=np.float64)


def test_the_fit_is_the_logistic_regression_of_labels_on_scores() -> None:
    random = np.random.default_rng(4)
    scores = random.normal(size=200_000)
    labels = (random.random(200_000) < 1 / (1 + np.exp(-(0.4 * scores - 1.3)))).astype(np.float64)
    found = fit_sigmoid(scores, labels)
    assert found is not None
    reference = LogisticRegression(C=np.inf, tol=1e-10).fit(scores[:, None], labels)
    assert found.slope == pytest.approx(reference.coef_[0, 0], rel=1e-3)
    assert found.intercept == pytest.approx(reference.intercept_[0], rel=1e-3)
    assert (found.slope, found.intercept) == pytest.approx((0.4, -1.3), abs=0.02)


def test_few_rows_that_are_told_apart_wholly_do_not_give_a_step() -> None:
    found = fit_sigmoid(np.array([-2.0, -1.0, 1.0, 2.0]), np.array([0.0, 0.0, 1.0, 1.0]))
    assert found is not None
    assert 0 < found.slope < 5


def test_scores_that_are_all_the_same_are_left_as_they_are() -> None:
    assert fit_sigmoid(np.zeros(100), np.tile([0.0, 1.0], 50)) == Sigmoid(1.0, 0.0)


def test_scores_that_say_the_opposite_are_not_turned_round(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert fit_sigmoid(np.tile([3.0, -3.0], 50), np.tile([0.0, 1.0], 50)) is None
    assert "its scores say nothing" in caplog.text


@pytest.mark.parametrize("slope", [0.3, 1.0, 2.5])
def test_the_trees_carry_slope_and_intercept(slope: float) -> None:
    plain = trained()
    made = calibrated(plain.estimator.booster, Sigmoid(slope, -0.7))
    before = scores_of(plain, FRESH)
    after = np.asarray(made.inplace_predict(FRESH.matrix, predict_type="margin"), dtype=np.float64)
    np.testing.assert_allclose(after, slope * before - 0.7, atol=2e-6)
    contributions = made.predict(FRESH.dmatrix(FEATURES), pred_contribs=True)
    np.testing.assert_allclose(contributions.sum(axis=1), after, atol=1e-5)
    plain_contributions = plain.estimator.booster.predict(FRESH.dmatrix(FEATURES), pred_contribs=True)
    np.testing.assert_allclose(contributions[:, :-1], slope * plain_contributions[:, :-1], atol=1e-5)


def test_probabilities_of_a_weighted_model_come_true_again_and_nothing_is_ranked_otherwise() -> None:
    weighted = trained(params={"scale_pos_weight": 8.0})
    both = trained(params={"scale_pos_weight": 8.0}, calibration="sigmoid")
    skewed, true = (one.estimator.predict(FRESH.matrix) for one in (weighted, both))
    share = FRESH.labels.mean()
    assert skewed.mean() > share + 0.15
    assert true.mean() == pytest.approx(share, abs=0.02)
    assert log_loss(FRESH.labels, true) < log_loss(FRESH.labels, skewed) - 0.05
    assert roc_auc_score(FRESH.labels, true) == pytest.approx(roc_auc_score(FRESH.labels, skewed), abs=1e-4)
    assert both.importance == weighted.importance


def test_the_curve_of_a_refitted_model_is_fitted_before_it_has_seen_the_validation_part() -> None:
    early, refitted = trained(calibration="sigmoid"), trained(calibration="sigmoid", refit="validation")
    assert early.sigmoid == refitted.sigmoid
    assert ubj(early) != ubj(refitted)


def test_the_bytes_are_the_same_on_one_and_two_threads_and_others_than_without() -> None:
    made = [ubj(trained(threads=threads, calibration="sigmoid")) for threads in (1, 2, 2)]
    assert len(set(made)) == 1
    assert made[0] != ubj(trained())
