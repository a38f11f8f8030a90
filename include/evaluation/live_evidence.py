"""What was seen of a challenger beside the champion in production, as arrays in the order in which it came in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from include.evaluation.grouping import Floats
from include.spec.costs import Costs
from include.spec.definition import Task
from include.spec.objective import Objective

Flags = NDArray[np.bool_]
Keys = NDArray[Any]
#: Predictions beyond this are judged as if they were this: products of larger ones leave the range of numbers.
LARGEST: Final = 1e50


def _none() -> Floats:
    return np.empty(0)


def answered(predictions: Floats) -> Flags:
    """Which rows have an answer, shape (rows,): of several classes one whose probabilities are all there."""
    finite: Flags = np.isfinite(predictions)
    return np.asarray(finite.all(axis=1)) if finite.ndim == 2 else finite


def _bounded(predictions: Floats) -> Floats:
    return np.clip(predictions, -LARGEST, LARGEST)


@dataclass(frozen=True)
class Rows:
    """The stage's rows that the challenger was asked for or scored on; all arrays have shape (rows,).

    Predictions of several classes are their probabilities, shape (rows, classes), here and below.

    :param challenger: its predictions; NaN where it failed.
    :param champion: the champion's predictions of the same rows; NaN where it failed or was not asked.
    :param challenger_failed: whether the challenger raised an error.
    :param champion_failed: whether the champion did.
    :param times: when their events are: rows of one day, or hour, share their luck.
    """

    challenger: Floats = field(default_factory=_none)
    champion: Floats = field(default_factory=_none)
    challenger_failed: Flags = field(default_factory=lambda: np.empty(0, dtype=bool))
    champion_failed: Flags = field(default_factory=lambda: np.empty(0, dtype=bool))
    times: Keys = field(default_factory=_none)

    @property
    def paired(self) -> Flags:
        """Rows that both have answered."""
        paired: Flags = answered(self.challenger) & answered(self.champion)
        return paired

    @property
    def requests(self) -> int:
        """How many rows both have answered."""
        return int(self.paired.sum())


@dataclass(frozen=True)
class Latencies:
    """How long the stage's rows took, milliseconds.

    :param challenger: on rows scored in pairs by one process, shape (scored,).
    :param champion: on the same rows, right beside it, shape (scored,).
    :param answered: of the requests that the server answered in the stage, shape (answered,).
    :param by_challenger: which of those the challenger answered, shape (answered,).
    """

    challenger: Floats = field(default_factory=_none)
    champion: Floats = field(default_factory=_none)
    answered: Floats = field(default_factory=_none)
    by_challenger: Flags = field(default_factory=lambda: np.empty(0, dtype=bool))


@dataclass(frozen=True)
class Labelled:
    """Rows of the whole deployment that both have answered and whose label is in, by the time of the label.

    All arrays have shape (labelled,); ``columns`` are those of the rows that the objective reads, if there is one.
    """

    labels: Floats = field(default_factory=_none)
    challenger: Floats = field(default_factory=_none)
    champion: Floats = field(default_factory=_none)
    times: Keys = field(default_factory=_none)
    columns: Mapping[str, Keys] = field(default_factory=dict)

    def first(self, rows: int) -> Labelled:
        """The first so many."""
        columns = {name: values[:rows] for name, values in self.columns.items()}
        return Labelled(self.labels[:rows], self.challenger[:rows], self.champion[:rows], self.times[:rows], columns)


@dataclass(frozen=True)
class Arm:
    """One side of an A/B test: labelled rows that this version answered; arrays of shape (rows,).

    :param entities: whom the rows are about; an entity is always answered by the same version.
    :param columns: those of the rows that the objective reads, if there is one.
    """

    labels: Floats = field(default_factory=_none)
    predictions: Floats = field(default_factory=_none)
    entities: Keys = field(default_factory=_none)
    columns: Mapping[str, Keys] = field(default_factory=dict)


@dataclass(frozen=True)
class LiveEvidence:
    """Everything that a judgement looks at.

    :param elapsed_s: seconds since the stage began.
    :param arms: of an A/B test: ``challenger`` and ``champion``; else empty.
    """

    elapsed_s: float = 0.0
    rows: Rows = field(default_factory=Rows)
    latencies: Latencies = field(default_factory=Latencies)
    labelled: Labelled = field(default_factory=Labelled)
    arms: Mapping[str, Arm] = field(default_factory=dict)

    def bounded(self) -> LiveEvidence:
        """The same with no prediction beyond :data:`LARGEST`; NaN stays."""
        rows, labelled = self.rows, self.labelled
        rows = replace(rows, challenger=_bounded(rows.challenger), champion=_bounded(rows.champion))
        labelled = replace(labelled, challenger=_bounded(labelled.challenger), champion=_bounded(labelled.champion))
        arms = {name: replace(arm, predictions=_bounded(arm.predictions)) for name, arm in self.arms.items()}
        return replace(self, rows=rows, labelled=labelled, arms=arms)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a stage asks for: the plan of the deployment state (:mod:`include.registry.plans`), typed.

    Rates and shares are 0 to 1, ``quality_margin`` is in the metric's own unit.
    """

    stage: str
    kind: str
    task: Task
    metric: str
    threshold: float
    requests: int
    labels: int
    time_s: float | None
    length_s: float | None
    error_rate: float
    p99_ms: float | None
    added_ms: float
    prediction_shift: float
    quality_margin: float
    costs: Costs | None = None
    objective: Objective | None = None
    champion_threshold: float | None = None

    @classmethod
    def of(cls, plan: Mapping[str, Any]) -> Rules:
        """Read a plan.

        :raises KeyError: a key is missing.
        """
        evidence, rollback = plan["evidence"], plan["rollback"]
        return cls(
            stage=plan["stage"],
            kind=plan["kind"],
            task=plan["task"],
            metric=plan["metric"],
            threshold=plan["threshold"],
            requests=evidence["requests"],
            labels=evidence["labels"],
            time_s=evidence["time_s"],
            length_s=plan["length_s"],
            error_rate=rollback["error_rate"],
            p99_ms=rollback["p99_ms"],
            added_ms=rollback["added_ms"],
            prediction_shift=rollback["prediction_shift"],
            quality_margin=rollback["quality_margin"],
            costs=Costs.model_validate(plan["costs"]) if plan.get("costs") else None,  # plans of before had none
            objective=_objective(plan.get("objective")),
            champion_threshold=plan.get("champion_threshold"),
        )


def _objective(plan: Mapping[str, Any] | None) -> Objective | None:
    return Objective.model_validate({k: v for k, v in plan.items() if k != "columns"}) if plan else None
