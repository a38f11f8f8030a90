"""Slices and curves: enough for a page, and silent where there is nothing to say."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from include.evaluation.comparison import Judging
from include.evaluation.curves import calibration, precision_recall_curve, residuals, roc_curve
from include.evaluation.slices import MISSING, judge_slices

JUDGING = Judging(task="binary_classification", threshold=0.3, rounds=100, confidence=0.95, seed=7)


def sample(rows: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    labels = (random.random(rows) < 0.3).astype(float)
    return labels, np.clip(0.3 + 0.2 * labels + random.normal(0, 0.2, rows), 0, 1)


def test_slices_come_by_falling_size_and_a_missing_value_is_one() -> None:
    labels, scores = sample()
    carrier = pd.Series(["AA"] * 600 + ["UA"] * 300 + [None] * 100)
    found = judge_slices(JUDGING, pd.DataFrame({"carrier": carrier}), labels, scores, {})

    assert [(one.value, one.rows) for one in found] == [("AA", 600), ("UA", 300), (MISSING, 100)]


def test_at_most_twenty_values_of_a_column_are_shown() -> None:
    labels, scores = sample()
    found = judge_slices(JUDGING, pd.DataFrame({"x": np.arange(1000) % 25}), labels, scores, {})

    assert len(found) == 20


def test_a_slice_with_few_rows_or_one_class_is_null_with_the_reason() -> None:
    labels, scores = sample()
    labels[:100] = 0
    column = pd.DataFrame({"x": ["one class"] * 100 + ["few"] * 5 + ["rest"] * 895})
    documents = [
        one.to_document(JUDGING) for one in judge_slices(JUDGING, column, labels, scores, {"champion": scores})
    ]
    by_value = {document["value"]: document for document in documents}

    json.dumps(documents, allow_nan=False)
    assert by_value["few"]["metrics"]["challenger"]["roc_auc"]["value"] is None
    assert by_value["few"]["reason"] == "only 5 rows; at least 30 are needed"
    assert by_value["one class"]["metrics"]["challenger"]["roc_auc"]["reason"] == "none of the 100 rows has the label 1"
    assert by_value["rest"]["improvements"]["champion"]["roc_auc"]["value"] == 0


def test_the_roc_curve_runs_from_corner_to_corner_with_few_points() -> None:
    points = roc_curve(*sample(5000))

    assert points is not None
    assert (points[0], points[-1]) == ([0.0, 0.0], [1.0, 1.0])
    assert len(points) <= 62
    area = np.trapezoid([y for _, y in points], [x for x, _ in points])
    assert area == pytest.approx(0.76, abs=0.02)


def test_one_class_has_no_roc_curve() -> None:
    assert roc_curve(np.zeros(5), np.linspace(0, 1, 5)) is None


def test_calibration_groups_hold_all_rows() -> None:
    assert sum(group["rows"] for group in calibration(*sample(1003))) == 1003


def test_residuals_of_a_perfect_model_do_not_break_the_histogram() -> None:
    found = residuals(np.arange(50.0), np.arange(50.0))

    assert sum(found["histogram"]["counts"]) == 50
    assert found["mean"] == 0


def test_precision_and_recall_are_scikit_learns_with_few_points() -> None:
    from sklearn.metrics import precision_recall_curve as expected

    labels, scores = sample(5000)
    points = precision_recall_curve(labels, scores)
    precision, recall, _ = expected(labels, scores)
    every = set(zip(recall.round(5), precision.round(5), strict=True))

    assert points is not None
    assert len(points) <= 60
    assert {tuple(point) for point in points} <= every
    assert points[-1][0] == 1.0
    assert precision_recall_curve(np.zeros(3), np.array([0.1, 0.2, 0.3])) is None
