"""Models that are no XGBoost booster, as a packaged model opens them: plain numbers, or files of a team's own trainer.

This file travels with such a packaged model as an artifact, beside ``packaged_model.py``, which loads it. So it must
stay self-contained: it imports the standard library and numpy, and nothing of this repository. Answers are float64 and
the same for a row alone and in a batch: sums go over the features in their order, never over rows.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]


class LinearModel:
    """A sum of one contribution for each feature, brought to a probability by a link.

    A number's contribution is ``coefficient × (value - mean)``, a missing one counts as the median; a category's is
    read from a table, whose last line is for what is missing or unseen. All contributions have the mean 0 over the
    rows that they were learned on, so they explain the answer by themselves.

    :param document: ``link`` (``logit``, ``softmax`` or ``identity``), ``base`` (outputs), and for each of
        ``features`` either ``median``, ``mean`` and ``coefficients`` (outputs) or ``table`` (categories + 1 × outputs).
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._link = str(document["link"])
        self.explains = self._link != "softmax"
        """Whether one contribution of each feature says it all."""
        self._base = np.array(document["base"], dtype=np.float64)
        self._features = [_Contribution(feature) for feature in document["features"]]

    def predict(self, matrix: Matrix) -> Floats:
        """Answers for encoded rows: (rows,), or (rows, classes) for several classes."""
        scores = self.scores(matrix)
        if self._link == "identity":
            return np.ascontiguousarray(scores[:, 0])
        if self._link == "logit":
            return _sigmoid(np.ascontiguousarray(scores[:, 0]))
        return _softmax(scores)

    def scores(self, matrix: Matrix) -> Floats:
        """Base plus contributions, (rows, outputs)."""
        scores = np.tile(self._base, (len(matrix), 1))
        for place, feature in enumerate(self._features):
            scores += feature.of(matrix[:, place])
        return scores

    def explain(self, matrix: Matrix) -> tuple[Floats, Floats]:
        """Base (outputs,) and contributions (rows, features, outputs); they add up to :meth:`scores`."""
        shares = [feature.of(matrix[:, place]) for place, feature in enumerate(self._features)]
        return self._base, np.stack(shares, axis=1)


class _Contribution:
    """One feature's contribution."""

    def __init__(self, feature: Mapping[str, Any]) -> None:
        self._table = np.array(feature["table"], dtype=np.float64) if "table" in feature else None
        if self._table is None:
            self._median, self._mean = float(feature["median"]), float(feature["mean"])
            self._coefficients = np.array(feature["coefficients"], dtype=np.float64)

    def of(self, values: Matrix) -> Floats:
        """For encoded values (rows,): contributions (rows, outputs)."""
        missing = np.isnan(values)
        if self._table is not None:
            codes = np.where(missing, len(self._table) - 1, values).astype(np.int64)
            looked_up: Floats = self._table[codes]
            return looked_up
        away = np.where(missing, self._median, values.astype(np.float64)) - self._mean
        contributions: Floats = away[:, None] * self._coefficients[None, :]
        return contributions


class ModuleModel:
    """What a team's own trainer module loads from the files that it saved.

    :param module: the trainer module, with ``load``.
    :param folder: what its ``save`` wrote.
    """

    explains = False

    def __init__(self, module: Any, folder: Path) -> None:
        self._loaded = module.load(folder)

    def predict(self, matrix: Matrix) -> Floats:
        """Answers for encoded rows: (rows,), or (rows, classes).

        :raises ValueError: the module gives something else.
        """
        if len(matrix) == 0:  # which not every library takes
            return np.empty(0, dtype=np.float64)
        answers = np.asarray(self._loaded.predict(matrix), dtype=np.float64)
        if answers.ndim == 2 and answers.shape[1] == 1:
            answers = answers[:, 0]
        if answers.ndim not in (1, 2) or len(answers) != len(matrix):
            raise ValueError(f"the trainer's model gave the shape {answers.shape} for {len(matrix)} rows")
        return np.ascontiguousarray(answers)


def read_linear(path: Path) -> LinearModel:
    """The linear model in a file."""
    return LinearModel(json.loads(path.read_text(encoding="utf-8")))


def open_estimator(kind: str, files: Mapping[str, Path], load_code: Any) -> Any:
    """The packaged model's estimator.

    :param kind: ``linear`` or ``module``, as ``features.json`` says.
    :param files: the package's files by their names without ending.
    :param load_code: makes a module of a packaged source file.
    :raises ValueError: for another kind.
    """
    if kind == "linear":
        return read_linear(files["model"])
    if kind == "module":
        return ModuleModel(load_code("trainer_module", files["trainer_module"]), files["model"])
    raise ValueError(f"this package has a model of the kind {kind!r}, which its code does not know")


def _sigmoid(scores: Floats) -> Floats:
    probabilities: Floats = np.exp(-np.logaddexp(0.0, -scores))
    return probabilities


def _softmax(scores: Floats) -> Floats:
    """Rows of probabilities; the sum goes over the classes in their order."""
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    total = np.zeros(len(scores))
    for place in range(scores.shape[1]):
        total += raised[:, place]
    probabilities: Floats = raised / total[:, None]
    return probabilities
