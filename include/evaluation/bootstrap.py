"""Percentile intervals by resampling; several models share each resample, so their differences are paired.

What is resampled says :mod:`include.evaluation.resampling`: whole partitions, as rows of one share their luck.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from include.evaluation.estimate import Estimate
from include.evaluation.grouping import Floats
from include.evaluation.metrics import Metric
from include.evaluation.resampling import Resampling
from include.evaluation.scoring import Scorer

#: Below this share of resamples with a defined value, an interval says nothing and is left out.
_SHARE_DEFINED: Final = 0.9
#: Cells of a block of counts: some megabytes, so that it stays in the processor's cache.
_BLOCK: Final = 400_000

#: Two trainings of one model with other seeds truly differ, on flights by about as much as resampling the days of a
#: holdout says, so the variance doubles (Nadeau and Bengio, Inference for the generalization error, 2003: the variance
#: of training adds to that of the test rows). Without it up to 17 of 100 equal challengers would win; measured in
#: ``ADR-fair-comparison.md``, kept by ``tests/evaluation/test_equal_models.py``.
LUCK_OF_TRAINING: Final = math.sqrt(2)

Draws = dict[str, Floats]


def draw(
    scorers: Mapping[str, Scorer], *, rounds: int, seed: int, resampling: Resampling | None = None
) -> dict[str, Draws]:
    """Metrics of every model on ``rounds`` resamples of their common rows; the resamples are the same for all.

    :param scorers: by model; all with the same number of rows, in the same order.
    :param resampling: how these rows are resampled; each row on its own if left out.
    :returns: by model and metric, shape (rounds,), NaN where a resample leaves the metric undefined.
    """
    rows = next(iter(scorers.values())).rows
    resampling = resampling or Resampling.of_rows(rows)
    if any(scorer.rows != rows for scorer in scorers.values()) or resampling.rows != rows:
        raise ValueError("models can only be compared on the same rows")
    random = np.random.default_rng(seed)
    if (groups := resampling.groups) is not None:
        counts = resampling.counts(random, rounds)
        return {name: scorer.score_groups(counts, groups) for name, scorer in scorers.items()}
    block = max(1, _BLOCK // rows)
    parts: dict[str, list[Draws]] = {name: [] for name in scorers}
    for first in range(0, rounds, block):
        counts = resampling.counts(random, min(block, rounds - first))
        for name, scorer in scorers.items():
            parts[name].append(scorer.score(counts))
    return {
        name: {key: np.concatenate([part[key] for part in done]) for key in done[0]} for name, done in parts.items()
    }


def estimate(scorer: Scorer, draws: Draws, metric: Metric, *, confidence: float) -> Estimate:
    """One metric of one model with its percentile interval."""
    value = scorer.points[metric.name]
    return _estimate(value, draws[metric.name], confidence, scorer.undefined(metric.name))


def estimates(scorer: Scorer, draws: Draws, *, confidence: float) -> dict[str, Estimate]:
    """All metrics of one model with their percentile intervals."""
    return {
        name: _estimate(value, draws[name], confidence, scorer.undefined(name)) for name, value in scorer.points.items()
    }


def improvement(
    metric: Metric,
    challenger: tuple[Scorer, Draws],
    reference: tuple[Scorer, Draws],
    *,
    confidence: float,
    widened: float = 1.0,
) -> Estimate:
    """By how much the challenger is better, with the paired interval; positive is better, whatever the direction.

    Both draws must come from the same call of :func:`draw`.

    :param widened: factor on both sides of the interval: :data:`LUCK_OF_TRAINING` when both models were trained with
        a seed, 1 if the resampled rows are all the luck there is.
    """
    sign = 1.0 if metric.higher_is_better else -1.0
    name = metric.name
    mine, other = challenger[0].points[name], reference[0].points[name]
    why = (challenger if math.isnan(mine) else reference)[0].undefined(name)
    found = _estimate(sign * (mine - other), sign * (challenger[1][name] - reference[1][name]), confidence, why)
    if found.value is None or found.low is None or found.high is None:
        return found
    low, high = (found.value + widened * (end - found.value) for end in (found.low, found.high))
    return Estimate(found.value, min(low, found.low), max(high, found.high))


def _estimate(value: float, draws: Floats, confidence: float, undefined: str) -> Estimate:
    if not math.isfinite(value):
        return Estimate(None, None, None, undefined)
    defined = draws[np.isfinite(draws)]
    if defined.size < _SHARE_DEFINED * draws.size:
        many = draws.size - defined.size
        return Estimate(
            value, None, None, f"too few rows for an interval: undefined in {many} of {draws.size} resamples"
        )
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, (tail, 1 - tail))
    return Estimate(value, float(low), float(high))
