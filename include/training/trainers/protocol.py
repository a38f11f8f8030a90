"""What every trainer takes and gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from include.spec.definition import Definition

if TYPE_CHECKING:
    from include.training.calibration import Sigmoid
    from include.training.folds import Fold
    from include.training.matrices import AnyEncoded
    from include.training.search import Found
    from include.training.trainers.boosting import Machines

Floats = npt.NDArray[np.float64]


class Estimator(Protocol):
    """A trained model. A packaged one is opened by ``packaged_model.py`` from what ``save`` wrote."""

    def predict(self, matrix: npt.NDArray[np.float32]) -> Floats:
        """Answers for encoded rows, (rows,): probabilities or values; for several classes (rows, classes)."""
        ...

    def save(self, directory: Path) -> None:
        """Write ``model.<ending>`` or a folder ``model``: the same bytes for the same training."""
        ...


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be trained.

    :param definition: with the settings of this training in ``training``; candidates are resolved already.
    :param features: as ``features.json`` describes them.
    :param older_folds: what a search judges its trials on besides train and validation.
    :param threads: ``training.resources.cpu`` if left out. Never changes the model.
    :param module: the trainer module's source, for a definition that names one.
    :param machines: who boosts; this process if left out.
    """

    definition: Definition
    features: Sequence[Mapping[str, Any]]
    train: AnyEncoded
    validation: AnyEncoded
    older_folds: Sequence[Fold] = ()
    threads: int | None = None
    module: Path | None = None
    machines: Machines | None = None


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What training gave.

    :param kind: what ``features.json`` says of the estimator; ``xgboost`` is not said there.
    :param judged: its answers for the validation part before calibration and refit: what candidates are compared by.
    :param best_round: number of rounds that it keeps; one fit counts as one round.
    :param parameters: with which it was trained.
    :param curves: part → metric → value after each round.
    :param importance: feature → how much it does to the answers; 0 for one that is not used.
    :param found: what the search for parameters found; None without one.
    :param sigmoid: the calibration that is in the model; None without one.
    :param requirements: packages that loading it needs besides those of every model, pinned.
    """

    kind: str
    estimator: Estimator
    judged: Floats
    best_round: int
    parameters: Mapping[str, Any]
    curves: Mapping[str, Mapping[str, list[float]]]
    importance: Mapping[str, float]
    found: Found | None = None
    sigmoid: Sigmoid | None = None
    requirements: Sequence[str] = field(default=())


class Train(Protocol):
    """A trainer: deterministic, whatever the number of threads."""

    def __call__(self, request: Request) -> Trained:
        """Train.

        :raises Refused: if parameters or data cannot be trained with.
        """
        ...
