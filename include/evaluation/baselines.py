"""The baselines that a model must beat: a constant and a linear model, both fitted on the training part only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd

from include.evaluation.grouping import Floats
from include.spec.definition import FeatureType, Task
from include.training.matrices import encode_part, learn_categories
from include.training.packaged_model import encode
from include.training.part_on_disk import PartOnDisk, in_batches
from include.training.trainers.linear import fit_linear

#: Rows that the linear baseline is fitted on at most, spread evenly over the training part.
_MOST_ROWS: Final = 40_000
#: Most frequent categories of a feature that get a column of their own; all others share none.
_MOST_CATEGORIES: Final = 60
_MOST_STEPS: Final = 100


@dataclass(frozen=True)
class Baseline:
    """A fitted baseline's predictions on the holdout rows.

    :param predictions: shape (rows,); of several classes (rows, classes).
    :param description: what it is, in a sentence.
    """

    name: str
    predictions: Floats
    description: str


def naive_baseline(task: Task, train_labels: Floats, rows: int, classes: Sequence[str] = ()) -> Baseline:
    """The training part's base rate (binary), shares of classes (multiclass) or mean (regression) for every row.

    :param classes: of a multiclass classification, whose labels are their places.
    """
    if classes:
        shares = np.bincount(train_labels.astype(np.intp), minlength=len(classes)) / train_labels.size
        shown = ", ".join(f"{name} {share:.3f}" for name, share in zip(classes, shares, strict=True))
        return Baseline("naive", np.tile(shares, (rows, 1)), f"always the training part's shares of classes: {shown}")
    value = float(np.mean(train_labels))
    what = "share of positive labels" if task == "binary_classification" else "mean label"
    return Baseline("naive", np.full(rows, value), f"always the training part's {what}, {value:.4g}")


def linear_baseline(
    task: Task,
    features: Mapping[str, FeatureType],
    train: pd.DataFrame | PartOnDisk,
    holdout: pd.DataFrame | PartOnDisk,
    classes: Sequence[str] = (),
) -> Baseline:
    """Logistic (of two or more classes) or ridge regression on standardized numbers and one-hot categories.

    It is the trainer ``linear``.

    Missing and infinite numbers become the training part's median. Deterministic: a large training part is thinned to
    evenly spaced rows. With one class only in the training part it is the naive baseline.

    :param features: feature names and types; columns are ``feature_<name>``.
    :param train: training part with ``label``.
    :param holdout: rows to predict.
    :param classes: of a multiclass classification, whose labels are their places.
    """
    thin = train.iloc[np.unique(np.linspace(0, len(train) - 1, min(len(train), _MOST_ROWS)).astype(int))]
    labels = thin["label"].to_numpy(dtype=np.float64)
    if np.unique(labels).size < 2:
        naive = naive_baseline(task, labels, len(holdout), classes)
        return Baseline("linear", naive.predictions, f"{naive.description} (all its labels are the same)")
    described = _described(features, thin)
    part = encode_part(thin, described)
    seen = np.unique(labels)
    if classes:  # a thinned part may lack a rare one, and scikit-learn counts those that are there
        part = replace(part, labels=np.searchsorted(seen, labels).astype(np.float32))
    model = fit_linear(task, part, described, **_settings(task))
    kind = "ridge regression" if task == "regression" else "logistic regression"
    text = f"{kind} on {model.columns} columns, fitted on {len(thin):,} of {len(train):,} training rows"
    answers = in_batches(holdout, lambda frame: model.predict(encode(frame, described)))
    return Baseline("linear", _of_all(answers, seen, len(classes)) if classes else answers, text)


def _of_all(answers: Floats, seen: Floats, classes: int) -> Floats:
    """Probabilities of all classes, (rows, classes): 0 for one that the model was not fitted on.

    :param answers: of the classes that it was fitted on; of two of them the probability of the second, (rows,).
    """
    known = np.column_stack((1 - answers, answers)) if answers.ndim == 1 else answers
    found = np.zeros((len(answers), classes))
    found[:, seen.astype(np.intp)] = known
    return found


def _described(features: Mapping[str, FeatureType], train: pd.DataFrame) -> list[dict[str, Any]]:
    """The features as the trainer takes them, with the categories of these rows."""
    categories = learn_categories(train, features)
    return [{"name": name, "type": kind, "categories": categories.get(name, [])} for name, kind in features.items()]


def _settings(task: Task) -> dict[str, Any]:
    """The usual penalty; a baseline may stop a little before the optimum."""
    penalty = {"alpha": 1.0} if task == "regression" else {"C": 1.0}
    return {**penalty, "max_iter": _MOST_STEPS, "most_categories": _MOST_CATEGORIES}
