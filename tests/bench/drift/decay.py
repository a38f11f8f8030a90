"""False alarms of the decay check on made windows without decay, with eight slices and the calibration beside it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from include.evaluation.answers import Answers
from include.monitoring.decay import judge_decay
from include.monitoring.estimated import estimate_quality
from include.monitoring.scored import Holdout, scorer_of
from include.training.confidence import learn_confidence
from tests.bench.drift.windows import Random
from tests.training.factories import make_definition

_WINDOWS: Final = 100
_ROWS: Final = 3_000
_DAYS: Final = 28
_SLICES: Final = 8


def count_decay_alarms() -> None:
    """Print how often a calm window is told as decay, or anything beside it, and how often truth meets the estimate."""
    definition = make_definition(
        evaluation={
            "metrics": ["roc_auc"],
            "gates": [{"metric": "roc_auc", "at_least": 0.5}],
            "slices": ["carrier"],
        }
    )
    random = np.random.default_rng(13)
    told: dict[str, int] = dict.fromkeys(("decay", "a slice", "calibration", "any of them", "the estimate warns"), 0)
    inside = 0
    for _ in range(_WINDOWS):
        before, now = _answers(random), _answers(random)
        holdout = Holdout(definition, before, None)
        result = judge_decay(definition, holdout, now, threshold=None)
        confidence = learn_confidence(definition.task, before.labels, before.predictions, before.partitions)
        estimate = estimate_quality(definition, confidence, now, holdout, threshold=None)
        found = {
            "decay": result.verdict == "decay",
            "a slice": any(one.worse for one in result.slices),
            "calibration": any(one.worse for one in result.calibration),
        }
        found |= {"any of them": any(found.values()), "the estimate warns": estimate.verdict == "warning"}
        for name, alarmed in found.items():
            told[name] += alarmed
        inside += _within(estimate.metrics[0].estimate, scorer_of(definition, now, None).points["roc_auc"])
    print(f"\n{_WINDOWS} windows of {_ROWS:,} labels without decay, {_SLICES} slices, days with luck of their own")
    for name, alarms in told.items():
        goal = "at most 0.05" if name in ("any of them", "the estimate warns") else ""
        print(f"{name:<50}{alarms / _WINDOWS:>8.2f}  {goal}", flush=True)
    print(f"{'truth within the interval of the estimate':<50}{inside / _WINDOWS:>8.2f}  0.95 is meant", flush=True)


def _within(estimate: Any, truth: float) -> bool:
    return bool(estimate.low <= truth <= estimate.high)


def _answers(random: Random) -> Answers:
    """Calibrated but for the luck of days."""
    day = np.arange(_ROWS) % _DAYS
    scores, luck = random.normal(0, 1.2, _ROWS) - 1, random.normal(0, 0.15, _DAYS)[day]
    return Answers(
        labels=(random.random(_ROWS) < 1 / (1 + np.exp(-scores - luck))).astype(float),
        predictions=1 / (1 + np.exp(-scores)),
        partitions=np.array([f"2013-01-{1 + one:02d}" for one in day]),
        slices={"carrier": np.char.add("c", random.integers(0, _SLICES, _ROWS).astype(str))},
        answered=_ROWS,
    )
