"""A challenger beside others on the very same rows: every metric with its interval, every difference paired."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.evaluation.bootstrap import LUCK_OF_TRAINING, draw, estimates, improvement
from include.evaluation.estimate import Estimate
from include.evaluation.grouping import Floats
from include.evaluation.metrics import Metric, metrics_of
from include.evaluation.objective import RowObjective
from include.evaluation.resampling import Resampling
from include.evaluation.scoring import make_scorer
from include.spec.costs import Costs
from include.spec.definition import Task

CHALLENGER = "challenger"
CHAMPION = "champion"

MetricEstimates = dict[str, Estimate]


@dataclass(frozen=True)
class Judging:
    """How contenders are judged.

    :param threshold: probability from which the answer is yes.
    :param champion_threshold: the champion's, if it has one of its own.
    :param rounds: number of resamples.
    :param confidence: confidence of the two-sided intervals.
    :param seed: seed of the resamples.
    :param costs: what answers cost, if that is known.
    :param objective: the business's own number for the rows that are judged, if there is one.
    :param classes: of a multiclass classification.
    """

    task: Task
    threshold: float
    rounds: int
    confidence: float
    seed: int
    costs: Costs | None = None
    objective: RowObjective | None = None
    classes: tuple[str, ...] = ()
    champion_threshold: float | None = None

    def threshold_of(self, name: str) -> float:
        """The threshold of a contender."""
        own = self.champion_threshold if name == CHAMPION else None
        return self.threshold if own is None else own

    @property
    def metrics(self) -> list[Metric]:
        """What is measured."""
        objective = self.objective.objective if self.objective else None
        return metrics_of(self.task, costs=self.costs is not None, objective=objective)

    def on(self, chosen: NDArray[np.bool_]) -> Judging:
        """The same for some of the rows.

        :param chosen: shape (rows,).
        """
        return replace(self, objective=self.objective.rows(chosen)) if self.objective else self


@dataclass(frozen=True)
class Comparison:
    """What came out, on ``rows`` rows.

    :param estimates: by contender (``challenger`` and each reference), then by metric.
    :param improvements: by reference, then by metric: how much better the challenger is (positive is better).
    :param resampling: how the intervals came about.
    """

    rows: int
    estimates: dict[str, MetricEstimates]
    improvements: dict[str, MetricEstimates]
    resampling: Resampling


def compare(
    judging: Judging,
    labels: Floats,
    challenger: Floats,
    references: Mapping[str, Floats],
    partitions: Sequence[str] | NDArray[Any] | None = None,
) -> Comparison:
    """Judge the challenger beside the references; all arrays have shape (rows,), or (rows, classes), and the same
    order of rows.

    The interval of the improvement over ``champion`` is widened, since both models owe something to their seeds.

    :param references: predictions by name: ``champion``, ``naive``, ``linear``.
    :param partitions: each row's partition, which are resampled whole; None if no row has to do with another.
    :raises UnusablePredictions: if someone's predictions cannot be evaluated.
    """
    everyone = {CHALLENGER: challenger, **references}
    scorers = {
        name: make_scorer(
            judging.task,
            labels,
            values,
            threshold=judging.threshold_of(name),
            whose=name,
            costs=judging.costs,
            objective=judging.objective,
        )
        for name, values in everyone.items()
    }
    rows = scorers[CHALLENGER].rows
    resampling = Resampling.of_rows(rows) if partitions is None else Resampling.of_partitions(partitions)
    draws = draw(scorers, rounds=judging.rounds, seed=judging.seed, resampling=resampling)
    mine = (scorers[CHALLENGER], draws[CHALLENGER])
    return Comparison(
        rows=rows,
        estimates={name: estimates(scorers[name], draws[name], confidence=judging.confidence) for name in everyone},
        improvements={
            name: {
                metric.name: improvement(
                    metric,
                    mine,
                    (scorers[name], draws[name]),
                    confidence=judging.confidence,
                    widened=LUCK_OF_TRAINING if name == CHAMPION else 1.0,
                )
                for metric in judging.metrics
            }
            for name in references
        },
        resampling=resampling,
    )
