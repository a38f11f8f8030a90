"""The baselines that a model must beat: a constant and a linear model, both fitted on the training part only."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.evaluation.scoring import Floats
from include.spec.definition import FeatureType, Task

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]
    from sklearn.linear_model import LogisticRegression, Ridge

#: Prefix of the features' columns in the training set.
PREFIX: Final = "feature_"
#: Rows that the linear baseline is fitted on at most, spread evenly over the training part.
_MOST_ROWS: Final = 40_000
#: Most frequent categories of a feature that get a column of their own; all others share none.
_MOST_CATEGORIES: Final = 60


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
    """Logistic (binary) or ridge regression on standardized numbers and one-hot categories.

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
    encoder = _Encoder.fit(features, thin)
    fitted = _fit(task, encoder.transform(thin), labels)
    matrix = encoder.transform(holdout)
    kind = "logistic regression" if task == "binary_classification" else "ridge regression"
    predictions = fitted.predict_proba(matrix)[:, 1] if task == "binary_classification" else fitted.predict(matrix)
    text = f"{kind} on {matrix.shape[1]} columns, fitted on {len(thin):,} of {len(train):,} training rows"
    return Baseline("linear", np.asarray(predictions, dtype=np.float64), text)


def _fit(task: Task, matrix: csr_matrix, labels: Floats) -> LogisticRegression | Ridge:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression, Ridge

    model = LogisticRegression(max_iter=100) if task == "binary_classification" else Ridge(solver="lsqr")
    with warnings.catch_warnings():
        # A baseline may stop a little before the optimum.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(matrix, labels)


@dataclass(frozen=True)
class _Encoder:
    """What was learned on the training part: medians, means, scales and categories."""

    numbers: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    categories: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def fit(cls, features: Mapping[str, FeatureType], train: pd.DataFrame) -> _Encoder:
        encoder = cls()
        for name, kind in features.items():
            column = train[PREFIX + name]
            if kind == "category":
                counts = column.dropna().astype(str).value_counts()
                ranked = sorted(counts.items(), key=lambda pair: (-int(pair[1]), str(pair[0])))
                encoder.categories[name] = [str(value) for value, _ in ranked[:_MOST_CATEGORIES]]
            else:
                encoder.numbers[name] = _learn(_finite(column))
        return encoder

    def transform(self, frame: pd.DataFrame) -> csr_matrix:
        """A sparse matrix of shape (rows, columns)."""
        from scipy import sparse  # type: ignore[import-untyped]

        blocks = [sparse.csr_matrix((len(frame), 0))]
        for name, (median, mean, scale) in self.numbers.items():
            values = _finite(frame[PREFIX + name])
            filled = np.where(np.isnan(values), median, values)
            blocks.append(sparse.csr_matrix(((filled - mean) / scale)[:, None]))
        for name, known in self.categories.items():
            codes = pd.Categorical(frame[PREFIX + name].astype(object), categories=known).codes
            rows = np.flatnonzero(codes >= 0)
            ones = (np.ones(rows.size), (rows, codes[rows]))
            blocks.append(sparse.csr_matrix(ones, shape=(len(frame), len(known))))
        return sparse.hstack(blocks, format="csr")


def _finite(column: pd.Series[Any]) -> NDArray[np.float64]:
    values = pd.to_numeric(column, errors="coerce").astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isfinite(values), values, np.nan)


def _learn(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Median for what is missing, then mean and standard deviation; (0, 0, 1) if there is no value at all."""
    if np.isnan(values).all():
        return 0.0, 0.0, 1.0
    median = float(np.nanmedian(values))
    filled = np.where(np.isnan(values), median, values)
    scale = float(filled.std())
    return median, float(filled.mean()), scale if scale > 0 else 1.0
