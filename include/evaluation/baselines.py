"""The baselines that a model must beat: a constant and a linear model, both fitted on the training part only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from include.evaluation.scoring import Floats
from include.spec.definition import FeatureType, Task
from include.training.matrices import encode_part, learn_categories
from include.training.packaged_model import encode
from include.training.trainers.linear import fit_linear

#: Rows that the linear baseline is fitted on at most, spread evenly over the training part.
_MOST_ROWS: Final = 40_000
#: Most frequent categories of a feature that get a column of their own; all others share none.
_MOST_CATEGORIES: Final = 60
_MOST_STEPS: Final = 100


@dataclass(frozen=True)
class Baseline:
    """A fitted baseline's predictions on the holdout rows.

    :param predictions: shape (rows,).
    :param description: what it is, in a sentence.
    """

    name: str
    predictions: Floats
    description: str


def naive_baseline(task: Task, train_labels: Floats, rows: int) -> Baseline:
    """The training part's base rate (binary) or mean (regression) for every row."""
    value = float(np.mean(train_labels))
    what = "share of positive labels" if task == "binary_classification" else "mean label"
    return Baseline("naive", np.full(rows, value), f"always the training part's {what}, {value:.4g}")


def linear_baseline(
    task: Task, features: Mapping[str, FeatureType], train: pd.DataFrame, holdout: pd.DataFrame
) -> Baseline:
    """Logistic (binary) or ridge regression on standardized numbers and one-hot categories: the trainer ``linear``.

    Missing and infinite numbers become the training part's median. Deterministic: a large training part is thinned to
    evenly spaced rows. With one class only in the training part it is the naive baseline.

    :param features: feature names and types; columns are ``feature_<name>``.
    :param train: training part with ``label``.
    :param holdout: rows to predict.
    """
    thin = train.iloc[np.unique(np.linspace(0, len(train) - 1, min(len(train), _MOST_ROWS)).astype(int))]
    labels = thin["label"].to_numpy(dtype=np.float64)
    if np.unique(labels).size < 2:
        naive = naive_baseline(task, labels, len(holdout))
        return Baseline("linear", naive.predictions, f"{naive.description} (all its labels are the same)")
    described = _described(features, thin)
    model = fit_linear(task, encode_part(thin, described), described, **_settings(task))
    kind = "logistic regression" if task == "binary_classification" else "ridge regression"
    text = f"{kind} on {model.columns} columns, fitted on {len(thin):,} of {len(train):,} training rows"
    return Baseline("linear", model.predict(encode(holdout, described)), text)


def _described(features: Mapping[str, FeatureType], train: pd.DataFrame) -> list[dict[str, Any]]:
    """The features as the trainer takes them, with the categories of these rows."""
    categories = learn_categories(train, features)
    return [{"name": name, "type": kind, "categories": categories.get(name, [])} for name, kind in features.items()]


def _settings(task: Task) -> dict[str, Any]:
    """The usual penalty; a baseline may stop a little before the optimum."""
    penalty = {"alpha": 1.0} if task == "regression" else {"C": 1.0}
    return {**penalty, "max_iter": _MOST_STEPS, "most_categories": _MOST_CATEGORIES}
