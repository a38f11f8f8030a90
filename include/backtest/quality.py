"""What several models' answers of a window are worth, on the very same rows, and over all windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from include.backtest.line import Made
from include.evaluation.bootstrap import Draws, draw, estimate, improvement
from include.evaluation.estimate import Estimate
from include.evaluation.grouping import Floats
from include.evaluation.logged_models import open_model
from include.evaluation.metrics import Metric
from include.evaluation.objective import RowObjective
from include.evaluation.resampling import Resampling
from include.evaluation.scoring import Scorer, UnusablePredictions, make_scorer
from include.monitoring.decay import watched
from include.monitoring.labelled import data_answers
from include.settings import Settings
from include.spec.definition import Definition
from include.spec.partitions import Partition

ROUNDS: Final = 400


@dataclass(frozen=True)
class WindowQuality:
    """The models of one window, by the part that they play (``loop``, ``never``, …).

    :param rows: how many rows have a label.
    :param scorers: and their resamples, which are the same for all.
    """

    definition: Definition
    rows: int
    scorers: Mapping[str, Scorer]
    draws: Mapping[str, Draws]

    @property
    def metric(self) -> Metric:
        """What is measured: the first metric that is watched for decay."""
        return watched(self.definition)[0]

    def of(self, part: str) -> Estimate:
        """The metric of one."""
        confidence = self.definition.evaluation.confidence
        return estimate(self.scorers[part], self.draws[part], self.metric, confidence=confidence)

    def between(self, part: str, other: str) -> Estimate:
        """How much better one is than another, with the paired interval; positive is better."""
        mine, others = ((self.scorers[name], self.draws[name]) for name in (part, other))
        return improvement(self.metric, mine, others, confidence=self.definition.evaluation.confidence)


def judge_window(
    settings: Settings, definition: Definition, partitions: Sequence[Partition], models: Mapping[str, Made]
) -> WindowQuality | None:
    """Have the models answer a window's rows and measure them; None if it holds no row with a label.

    :param models: by the part that they play; the same model may play several.
    """
    scorers: dict[str, Scorer] = {}
    by_digest: dict[str, Scorer] = {}
    groups, rows = None, 0
    for part, made in models.items():
        if made.digest not in by_digest:
            with open_model(
                settings.tracking_url,
                whose=f"the model as of {made.as_of:%Y-%m-%d}",
                model_uri=str(made.training["model_uri"]),
                expected_digest=made.digest,
                classes=definition.label.class_names,
            ) as predict:
                answers = data_answers(settings, definition, partitions, predict).labelled()
            groups, rows = answers.partitions, answers.rows
            evaluation = definition.evaluation
            try:
                by_digest[made.digest] = make_scorer(
                    definition.task,
                    answers.labels,
                    answers.predictions,
                    threshold=evaluation.threshold if made.threshold is None else made.threshold,
                    whose=f"the model as of {made.as_of:%Y-%m-%d}",
                    costs=evaluation.costs,
                    objective=RowObjective.of(evaluation.objective, answers.columns) if evaluation.objective else None,
                )
            except UnusablePredictions:
                return None
        scorers[part] = by_digest[made.digest]
    if groups is None:
        return None
    drawn = draw(by_digest, rounds=ROUNDS, seed=definition.training.seed, resampling=Resampling.of_partitions(groups))
    return WindowQuality(definition, rows, scorers, {part: drawn[made.digest] for part, made in models.items()})


def over_all(windows: Sequence[WindowQuality], part: str, other: str | None = None) -> Estimate:
    """The mean over the windows by their rows, of one part's metric or of how much better it is than another's.

    Windows are resampled apart from each other: what is drawn in one has nothing to do with the next.
    """
    values, draws, weights = [], [], []
    for window in windows:
        found = window.of(part) if other is None else window.between(part, other)
        if found.value is None:
            continue
        values.append(found.value)
        draws.append(_draws(window, part, other))
        weights.append(window.rows)
    if not values:
        return Estimate(None, None, None, "no window has a value")
    shares = np.asarray(weights, dtype=np.float64) / sum(weights)
    together = shares @ np.vstack([_shuffled(one, place) for place, one in enumerate(draws)])
    tail = (1 - windows[0].definition.evaluation.confidence) / 2
    low, high = np.nanquantile(together, (tail, 1 - tail))
    return Estimate(float(shares @ np.asarray(values)), float(low), float(high))


def _draws(window: WindowQuality, part: str, other: str | None) -> Floats:
    name = window.metric.name
    if other is None:
        return window.draws[part][name]
    sign = 1.0 if window.metric.higher_is_better else -1.0
    found: Floats = sign * (window.draws[part][name] - window.draws[other][name])
    return found


def _shuffled(draws: Floats, seed: int) -> Floats:
    """All windows are drawn with one seed: in another order for each, equal numbers of days are no longer in step."""
    found: Floats = np.random.default_rng(seed).permutation(draws)
    return found
