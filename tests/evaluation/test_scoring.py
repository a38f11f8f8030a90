"""Metrics must equal scikit-learn's, under any weighting, and say why when they are undefined."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from include.evaluation.metrics import METRICS, UnknownMetric, find_metric, metrics_of
from include.evaluation.scoring import BinaryScorer, UnusablePredictions, make_scorer

THRESHOLD = 0.3


def binary(rows: int = 900, seed: int = 0, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = (random.random(rows) < 0.25).astype(float)
    scores = np.clip(0.2 + 0.2 * labels + random.normal(0, 0.2, rows), 0, 1)
    return labels, np.round(scores, 1) if ties else scores


def sklearn_binary(labels: np.ndarray, scores: np.ndarray, weight: np.ndarray | None = None) -> dict[str, float]:
    said = scores >= THRESHOLD
    weighted = {"sample_weight": weight}
    return {
        "accuracy": sk.accuracy_score(labels, said, **weighted),
        "precision": sk.precision_score(labels, said, **weighted),
        "recall": sk.recall_score(labels, said, **weighted),
        "f1": sk.f1_score(labels, said, **weighted),
        "roc_auc": sk.roc_auc_score(labels, scores, **weighted),
        "pr_auc": sk.average_precision_score(labels, scores, **weighted),
        "log_loss": sk.log_loss(labels, scores, **weighted),
        "brier": sk.brier_score_loss(labels, scores, **weighted),
    }


@pytest.mark.parametrize("ties", [False, True])
def test_binary_metrics_equal_those_of_scikit_learn(ties: bool) -> None:
    labels, scores = binary(ties=ties)
    scorer = make_scorer("binary_classification", labels, scores, threshold=THRESHOLD, whose="m")

    assert scorer.points == pytest.approx(sklearn_binary(labels, scores), rel=1e-9)


@pytest.mark.parametrize("ties", [False, True])
def test_binary_metrics_of_a_resample_equal_those_of_scikit_learn_with_weights(ties: bool) -> None:
    labels, scores = binary(ties=ties)
    weights = np.random.default_rng(3).poisson(1.0, size=(4, labels.size)).astype(float)
    scored = make_scorer("binary_classification", labels, scores, threshold=THRESHOLD, whose="m").score(weights)

    for row, weight in enumerate(weights):
        found = {name: values[row] for name, values in scored.items()}
        assert found == pytest.approx(sklearn_binary(labels, scores, weight), rel=1e-9)


def test_regression_metrics_equal_those_of_scikit_learn_with_and_without_weights() -> None:
    random = np.random.default_rng(1)
    labels = random.normal(5000, 20, 500)
    values = labels + random.normal(3, 10, 500)
    weights = np.vstack([np.ones(500), random.poisson(1.0, 500)]).astype(float)
    scored = make_scorer("regression", labels, values, threshold=0.5, whose="m").score(weights)

    for row, weight in enumerate(weights):
        expected = {
            "rmse": sk.root_mean_squared_error(labels, values, sample_weight=weight),
            "mae": sk.mean_absolute_error(labels, values, sample_weight=weight),
            "mape": sk.mean_absolute_percentage_error(labels, values, sample_weight=weight),
            "r2": sk.r2_score(labels, values, sample_weight=weight),
        }
        assert {name: found[row] for name, found in scored.items()} == pytest.approx(expected, rel=1e-9)


def test_confusion_matrix_counts_at_the_threshold() -> None:
    labels, scores = binary()
    (tn, fp), (fn, tp) = sk.confusion_matrix(labels, scores >= THRESHOLD)

    assert BinaryScorer(labels, scores, THRESHOLD).confusion() == {
        "true_positive": tp,
        "false_positive": fp,
        "false_negative": fn,
        "true_negative": tn,
    }


def test_a_constant_prediction_ranks_like_a_coin() -> None:
    labels, _ = binary()
    found = make_scorer("binary_classification", labels, np.full(900, 0.2), threshold=0.3, whose="m").points

    assert found["roc_auc"] == 0.5
    assert found["pr_auc"] == pytest.approx(labels.mean())
    assert np.isnan(found["precision"])


def test_mape_leaves_out_rows_with_the_label_0() -> None:
    scorer = make_scorer("regression", np.array([0.0, 10.0]), np.array([5.0, 11.0]), threshold=0.5, whose="m")

    assert scorer.points["mape"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("labels", "scores", "problem"),
    [
        ([0.0, 1.0], [0.1, np.nan], "1 of 2 predictions are missing or not finite"),
        ([0.0, np.inf], [0.1, 0.2], "1 of 2 labels are missing or not finite"),
        ([0.0, 2.0], [0.1, 0.2], "neither 0 nor 1"),
        ([0.0, 1.0], [0.1, 1.2], "not a probability"),
        ([], [], "no row"),
        ([0.0], [0.1, 0.2], "labels and"),
    ],
)
def test_what_cannot_be_judged_is_refused_with_whose_it_is_and_why(
    labels: list[float], scores: list[float], problem: str
) -> None:
    with pytest.raises(UnusablePredictions, match=problem) as refusal:
        make_scorer("binary_classification", np.array(labels), np.array(scores), threshold=0.3, whose="champion")

    assert refusal.value.whose == "champion"


def test_every_metric_has_a_direction_by_which_improvement_is_positive_when_better() -> None:
    for metric in METRICS.values():
        better = (0.9, 0.8) if metric.higher_is_better else (0.8, 0.9)
        assert metric.improvement(*better) == pytest.approx(0.1)
    assert {m.name for m in metrics_of("regression", costs=False) if m.higher_is_better} == {"r2"}
    found = metrics_of("binary_classification", costs=True)
    assert {m.name for m in found if not m.higher_is_better} == {"log_loss", "brier", "cost"}


def test_a_metric_of_the_other_task_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnknownMetric, match="rmse, mae, mape, r2"):
        find_metric("roc_auc", "regression")
