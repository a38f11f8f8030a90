"""Quality by the values of the columns that ``evaluation.slices`` names, beside that on the holdout part."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.evaluation.answers import Answers
from include.evaluation.bootstrap import Draws, estimate
from include.evaluation.estimate import Estimate
from include.evaluation.metrics import Metric
from include.evaluation.resampling import Resampling
from include.evaluation.scoring import Scorer
from include.evaluation.slices import MISSING, MOST_VALUES
from include.monitoring.clustered import Measured
from include.monitoring.scored import FEWEST_LABELS, score_answers
from include.spec.definition import Definition

_ROUNDS: Final = 200
_SHARE_DEFINED: Final = 0.9


@dataclass(frozen=True, kw_only=True)
class SliceChange:
    """One value of a column, then and now, by the first metric that is watched.

    :param labels: of the slice now.
    :param change: how much better it is now; negative is worse, whatever the metric's direction.
    :param least: from which loss on it matters.
    :param p: how likely chance alone gives such a loss; corrected once all that is told is known.
    :param worse: whether it is told as worse.
    """

    column: str
    value: str
    labels: int
    metric: str
    title: str
    before: Estimate
    now: Estimate
    change: Estimate
    least: float
    p: float
    worse: bool = False

    def corrected(self, p: float, significance: float) -> SliceChange:
        """With the p-value that is corrected for all that is told, and so with its verdict."""
        matters = self.change.value is not None and -self.change.value >= self.least
        return replace(self, p=p, worse=p <= significance and matters)

    def words(self) -> str:
        """The change in words."""
        return f"{self.column} {self.value} ({self.title} {self.before.value:.3g} before, {self.now.value:.3g} now)"

    def to_document(self) -> dict[str, Any]:
        """JSON."""
        sides = {name: getattr(self, name).to_document() for name in ("before", "now", "change")}
        names = ("column", "value", "labels", "metric", "title")
        return {
            **{name: getattr(self, name) for name in names},
            **sides,
            "least": self.least,
            "p": self.p,
            "worse": self.worse,
        }


def compare_slices(
    definition: Definition, metric: Metric, before: Answers, now: Answers, *, threshold: float | None
) -> list[SliceChange]:
    """Each of the most frequent values of each column that has enough labels on both sides, with its own p-value.

    Columns that either side does not have are left out, and values for which the metric is not defined.

    :param before: on the holdout part, all with their truth.
    :param now: since then, likewise.
    """
    found = []
    for column, value, first, second in _pairs(definition.evaluation.slices, before, now):
        sides = [
            score_answers(definition, part, threshold, seed=seed, rounds=_ROUNDS)
            for seed, part in ((0, first), (1, second))
        ]
        change = _difference(metric, sides[0], sides[1], (first, second))
        if change is None:
            continue
        confidence = definition.evaluation.confidence
        then = estimate(*sides[0], metric, confidence=confidence)
        found.append(
            SliceChange(
                column=column,
                value=value,
                labels=second.rows,
                metric=metric.name,
                title=metric.title,
                before=then,
                now=estimate(*sides[1], metric, confidence=confidence),
                change=change.estimate(confidence),
                least=definition.monitoring.decay.least_change * abs(then.value or 0.0),
                p=change.p_below(),
            )
        )
    return found


def _pairs(columns: list[str], before: Answers, now: Answers) -> Iterator[tuple[str, str, Answers, Answers]]:
    """Column, value, and its rows on both sides, the most frequent value of a column first."""
    for column in columns:
        if column not in before.slices or column not in now.slices:
            continue
        then, today = (_as_text(side.slices[column]) for side in (before, now))
        if (today == MISSING).all():  # such as a column that requests do not carry
            continue
        names, counts = np.unique(today, return_counts=True)
        ranked = sorted(zip(names.tolist(), counts.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
        for value, count in ranked[:MOST_VALUES]:
            which = then == value
            if min(count, int(which.sum())) >= FEWEST_LABELS:
                yield column, value, before.chosen(which), now.chosen(today == value)


def _as_text(values: Any) -> NDArray[np.str_]:
    series = pd.Series(values)
    return series.astype(object).where(series.notna(), MISSING).map(str).to_numpy(dtype=str)


def _difference(
    metric: Metric, before: tuple[Scorer, Draws], now: tuple[Scorer, Draws], rows: tuple[Answers, Answers]
) -> Measured | None:
    """How much better it is now, with the error that resampling days says; None if the metric is not defined."""
    sign = 1.0 if metric.higher_is_better else -1.0
    sides = []
    for (scorer, draws), answers in zip((before, now), rows, strict=True):
        value, drawn = scorer.points[metric.name], draws[metric.name]
        known = drawn[np.isfinite(drawn)]
        if not math.isfinite(value) or known.size < _SHARE_DEFINED * drawn.size:
            return None
        units = Resampling.of_partitions(answers.partitions).units
        # Resampling few units understates the error by this factor.
        error = float(known.std()) * math.sqrt(units / max(units - 1, 1))
        sides.append(Measured(sign * value, error, units - 1))
    return sides[1].minus(sides[0])
