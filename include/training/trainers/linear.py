"""Logistic or ridge regression by scikit-learn, kept as plain numbers: no pickle, and no scikit-learn to predict with.

Numbers are standardized, what is missing becomes the median, each category gets a column of its own; all of that is
learned on the training part. Bytes do not depend on the number of threads: sparse products and one thread for the rest.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from include.spec.definition import Definition, Task
from include.training.calibration import Sigmoid, fit_sigmoid
from include.training.estimators import LinearModel
from include.training.matrices import AnyEncoded, followed_by
from include.training.trainers.losses import loss, loss_name
from include.training.trainers.protocol import Floats, Request, Trained

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

Matrix = npt.NDArray[np.float32]

#: What is taken where the definition gives nothing.
DEFAULTS: Final[dict[str, float]] = {"C": 1.0, "alpha": 1.0, "max_iter": 1000}
_TOLERANCE: Final = 1e-8


@dataclass(frozen=True)
class Linear:
    """A linear model as plain numbers.

    :param document: as :class:`include.training.estimators.LinearModel` takes it.
    :param columns: number of columns that it was fitted on.
    """

    document: Mapping[str, Any]
    columns: int

    def predict(self, matrix: Matrix) -> Floats:
        """Probabilities or values, by the code that the package has too."""
        return LinearModel(self.document).predict(matrix)

    def save(self, directory: Path) -> None:
        """As JSON, whose numbers come back to the bit."""
        text = json.dumps(self.document, indent=1, allow_nan=False) + "\n"
        (directory / "model.json").write_text(text, encoding="utf-8")

    def calibrated(self, sigmoid: Sigmoid) -> Linear:
        """With scores that are ``slope × score + intercept``."""
        slope = sigmoid.slope
        base = [slope * value + sigmoid.intercept for value in self.document["base"]]
        features = [_times(feature, slope) for feature in self.document["features"]]
        return Linear({**self.document, "base": base, "features": features}, self.columns)


def train_linear(request: Request) -> Trained:
    """Fit on the training part, calibrate and fit again on both parts: as the definition says."""
    definition, features = request.definition, request.features
    training, train, validation = definition.training, request.train, request.validation
    params = _parameters(definition)
    fitted = fit_linear(definition.task, train, features, **params)
    judged = fitted.predict(validation.matrix)
    name = loss_name(definition.task)
    parts = {"train": (train, fitted.predict(train.matrix)), "validation": (validation, judged)}
    curves = {part: {name: [loss(definition.task, rows.labels, found)]} for part, (rows, found) in parts.items()}
    sigmoid = None
    if training.calibration == "sigmoid":
        scores = LinearModel(fitted.document).scores(validation.matrix)[:, 0]
        sigmoid = fit_sigmoid(np.ascontiguousarray(scores), validation.labels.astype(np.float64))
    importance = _importance(fitted, train.matrix, features)
    if training.refit == "validation":
        fitted = fit_linear(definition.task, followed_by(train, validation), features, **params)
    return Trained(
        kind="linear",
        estimator=fitted.calibrated(sigmoid) if sigmoid else fitted,
        judged=judged,
        best_round=1,
        parameters={"trainer": "linear", **params},
        curves=curves,
        importance=importance,
        sigmoid=sigmoid,
    )


def fit_linear(
    task: Task,
    part: AnyEncoded,
    features: Sequence[Mapping[str, Any]],
    *,
    most_categories: int | None = None,
    **params: Any,
) -> Linear:
    """A linear model of encoded rows.

    :param features: as ``features.json`` describes them.
    :param most_categories: of a feature get a column, the most frequent ones; all others count as missing.
    :param params: ``C``, ``class_weight`` (classifications), ``alpha`` (regressions), ``max_iter``.
    """
    columns = [_learn(part.matrix[:, place], feature, most_categories) for place, feature in enumerate(features)]
    matrix = _sparse(part.matrix, columns)
    intercepts, coefficients = _fit(task, matrix, part.labels.astype(np.float64), params)
    link = "identity" if task == "regression" else "logit" if len(intercepts) == 1 else "softmax"
    base, written, start = intercepts.copy(), [], 0
    for place, column in enumerate(columns):
        mine = coefficients[:, start : start + column.width]
        start += column.width
        document, shift = column.document(mine, part.matrix[:, place])
        base += shift
        written.append(document)
    return Linear({"format": 1, "link": link, "base": base.tolist(), "features": written}, start)


def _parameters(definition: Definition) -> dict[str, Any]:
    """The task's parameters: the definition's, else the usual ones."""
    used = ("alpha", "max_iter") if definition.task == "regression" else ("C", "max_iter")
    params = {name: definition.training.params.get(name, DEFAULTS[name]) for name in used}
    balanced = definition.training.class_weight == "balanced"
    return {**params, "max_iter": int(params["max_iter"]), **({"class_weight": "balanced"} if balanced else {})}


def _fit(task: Task, matrix: csr_matrix, labels: Floats, params: Mapping[str, Any]) -> tuple[Floats, Floats]:
    """Intercepts (outputs,) and coefficients (outputs, columns)."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression, Ridge
    from threadpoolctl import threadpool_limits

    if task == "regression":
        model = Ridge(solver="lsqr", tol=_TOLERANCE, **params)
    else:
        model = LogisticRegression(tol=1e-6, **params)
    with threadpool_limits(1), warnings.catch_warnings():
        # A little before the optimum is good enough where max_iter ends it.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(matrix, labels)
    intercepts = np.atleast_1d(np.asarray(model.intercept_, dtype=np.float64))
    return intercepts, np.atleast_2d(np.asarray(model.coef_, dtype=np.float64))


@dataclass(frozen=True)
class _Number:
    """A number's column: the median for what is missing, then standardized."""

    median: float
    mean: float
    scale: float
    width: int = 1

    def entries(self, values: Matrix) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats]:
        """Rows, columns (from 0) and values of the matrix."""
        filled = np.where(np.isnan(values), self.median, values.astype(np.float64))
        rows = np.arange(len(values))
        return rows, np.zeros(len(values), dtype=np.int64), (filled - self.mean) / self.scale

    def document(self, coefficients: Floats, values: Matrix) -> tuple[dict[str, Any], Floats]:  # noqa: ARG002
        """The feature as the package reads it, and what is added to the base for it."""
        by_unit = (coefficients[:, 0] / self.scale).tolist()
        return {"median": self.median, "mean": self.mean, "coefficients": by_unit}, np.zeros(len(coefficients))


@dataclass(frozen=True)
class _Category:
    """A category's columns: one for each code that has one."""

    codes: npt.NDArray[np.int64]
    size: int

    @property
    def width(self) -> int:
        return len(self.codes)

    def entries(self, values: Matrix) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats]:
        """Rows, columns (from 0) and values of the matrix."""
        column = np.full(self.size + 1, -1, dtype=np.int64)
        column[self.codes] = np.arange(len(self.codes))
        found = column[_codes(values, self.size)]
        rows = np.flatnonzero(found >= 0)
        return rows, found[rows], np.ones(len(rows))

    def document(self, coefficients: Floats, values: Matrix) -> tuple[dict[str, Any], Floats]:
        """The feature as the package reads it, and what is added to the base for it."""
        table = np.zeros((self.size + 1, len(coefficients)))
        table[self.codes] = coefficients.T
        mean: Floats = table[_codes(values, self.size)].mean(axis=0)
        return {"table": (table - mean).tolist()}, mean


def _codes(values: Matrix, size: int) -> npt.NDArray[np.int64]:
    """Codes of a category; what is missing gets the last place."""
    codes: npt.NDArray[np.int64] = np.where(np.isnan(values), size, values).astype(np.int64)
    return codes


def _learn(values: Matrix, feature: Mapping[str, Any], most_categories: int | None) -> _Number | _Category:
    if feature["type"] == "category":
        size = len(feature["categories"])
        counts = np.bincount(_codes(values, size), minlength=size + 1)[:size]
        seen = np.flatnonzero(counts)
        kept = seen[np.argsort(-counts[seen], kind="stable")][:most_categories]
        return _Category(np.sort(kept), size)
    present = values[~np.isnan(values)].astype(np.float64)
    if len(present) == 0:
        return _Number(0.0, 0.0, 1.0)
    median = float(np.median(present))
    filled = np.where(np.isnan(values), median, values.astype(np.float64))
    scale = float(filled.std())
    return _Number(median, float(filled.mean()), scale if scale > 0 else 1.0)


def _sparse(matrix: Matrix, columns: Sequence[_Number | _Category]) -> csr_matrix:
    """The columns side by side."""
    from scipy import sparse  # type: ignore[import-untyped]

    rows, places, values, start = [], [], [], 0
    for place, column in enumerate(columns):
        of_rows, of_columns, of_values = column.entries(matrix[:, place])
        rows.append(of_rows)
        places.append(of_columns + start)
        values.append(of_values)
        start += column.width
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(places)))
    return sparse.csr_matrix(entries, shape=(len(matrix), start))


def _times(feature: Mapping[str, Any], slope: float) -> dict[str, Any]:
    if "table" in feature:
        return {"table": [[slope * value for value in line] for line in feature["table"]]}
    return {**feature, "coefficients": [slope * value for value in feature["coefficients"]]}


def _importance(fitted: Linear, matrix: Matrix, features: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The mean size of each feature's contribution over the training rows."""
    _, shares = LinearModel(fitted.document).explain(matrix)
    sizes = np.abs(shares).mean(axis=0).sum(axis=1)
    return {feature["name"]: float(size) for feature, size in zip(features, sizes, strict=True)}
