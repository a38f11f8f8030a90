"""A contest of real models on one real holdout: trained once for all tests of this room."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from include.evaluation.bootstrap import LUCK_OF_TRAINING, Draws, draw, estimate, improvement
from include.evaluation.comparison import Judging
from include.evaluation.decision import apply_gate
from include.evaluation.estimate import Estimate
from include.evaluation.metrics import METRICS
from include.evaluation.resampling import Resampling
from include.evaluation.scoring import Scorer, make_scorer
from include.spec.definition import Gate
from tests.evaluation.real_flights import WEATHER, Flights, read_flights

SEEDS = tuple(f"seed {seed}" for seed in range(11))
BLIND = tuple(f"blind {seed}" for seed in range(2))
JUDGING = Judging(task="binary_classification", threshold=0.3, rounds=150, confidence=0.95, seed=7)


@dataclass(frozen=True)
class Contest:
    """Models of one definition on one real holdout, with the draws that they share.

    ``seed …``: equal but for their seed. ``blind …``: without the weather, truly worse.
    """

    flights: Flights
    predictions: dict[str, np.ndarray]
    scorers: dict[str, Scorer]
    draws: dict[str, Draws]

    def improvement(self, metric: str, challenger: str, champion: str) -> Estimate:
        """The challenger's lead, as :func:`compare` measures it."""
        mine, other = ((self.scorers[name], self.draws[name]) for name in (challenger, champion))
        return improvement(METRICS[metric], mine, other, confidence=JUDGING.confidence, widened=LUCK_OF_TRAINING)

    def promoted(self, metric: str, challenger: str, champion: str) -> bool:
        """Whether the gate "better than the champion" lets the challenger pass."""
        own = estimate(self.scorers[challenger], self.draws[challenger], METRICS[metric], confidence=0.95)
        document = {
            "challenger": {metric: own.to_document()},
            "improvements": {"champion": {metric: self.improvement(metric, challenger, champion).to_document()}},
            "comparison": {"status": "fair", "champion_version": 1, "reason": None},
        }
        [outcome] = apply_gate("binary_classification", Gate(metric=metric, against="champion"), document)
        return outcome.passed


@pytest.fixture(scope="session")
def contest(tmp_path_factory: pytest.TempPathFactory) -> Contest:
    """Eleven models of the flagship's definition and two that are blind to the weather, on 28 real days."""
    flights = read_flights(tmp_path_factory.mktemp("flights"))
    predictions = {name: flights.predictions(seed) for seed, name in enumerate(SEEDS)}
    predictions |= {name: flights.predictions(seed, without=WEATHER) for seed, name in enumerate(BLIND)}
    scorers = {
        name: make_scorer("binary_classification", flights.labels, values, threshold=0.3, whose=name)
        for name, values in predictions.items()
    }
    resampling = Resampling.of_partitions(flights.partitions)
    draws = draw(scorers, rounds=JUDGING.rounds, seed=JUDGING.seed, resampling=resampling)
    return Contest(flights, predictions, scorers, draws)
