"""On real flights: models that differ in their seed only hardly ever replace each other, a better one does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
import pytest

from include.evaluation.bootstrap import LUCK_OF_TRAINING, Draws, Estimate, draw, estimate, improvement
from include.evaluation.comparison import Judging, compare
from include.evaluation.decision import apply_gate
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


@pytest.fixture(scope="module")
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


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss"])
def test_of_models_that_differ_by_their_seed_only_at_most_one_in_twenty_is_promoted(
    contest: Contest, metric: str
) -> None:
    pairs = list(permutations(SEEDS, 2))
    promoted = sum(contest.promoted(metric, *pair) for pair in pairs)

    assert len(pairs) == 110
    assert promoted <= 0.05 * len(pairs)


def test_the_seeds_truly_give_other_models_so_that_the_question_is_one(contest: Contest) -> None:
    leads = [abs(float(contest.improvement("roc_auc", *pair).value or 0)) for pair in permutations(SEEDS, 2)]

    assert np.median(leads) > 0.0005


def test_a_model_that_knows_the_weather_replaces_one_that_does_not(contest: Contest) -> None:
    pairs = [(challenger, champion) for challenger in SEEDS for champion in BLIND]

    assert sum(contest.promoted("roc_auc", *pair) for pair in pairs) >= 0.9 * len(pairs)
    assert not any(contest.promoted("roc_auc", champion, challenger) for challenger, champion in pairs)


def test_the_contest_measures_what_the_step_evaluate_measures(contest: Contest) -> None:
    challenger, champion = SEEDS[:2]
    flights, predictions = contest.flights, contest.predictions
    compared = compare(
        JUDGING, flights.labels, predictions[challenger], {"champion": predictions[champion]}, flights.partitions
    )

    assert (compared.resampling.unit, compared.resampling.units) == ("partition", 28)
    assert compared.improvements["champion"]["roc_auc"] == contest.improvement("roc_auc", challenger, champion)


def test_resampled_as_single_rows_the_same_models_would_be_promoted_by_luck(contest: Contest) -> None:
    scorers = {name: contest.scorers[name] for name in SEEDS[:6]}
    by_rows = replace(contest, draws=draw(scorers, rounds=60, seed=JUDGING.seed))
    pairs = list(permutations(scorers, 2))

    assert sum(by_rows.promoted("roc_auc", *pair) for pair in pairs) > 0.05 * len(pairs)
