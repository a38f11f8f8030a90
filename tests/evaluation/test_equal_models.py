"""On real flights: models that differ in their seed only hardly ever replace each other, a better one does.

And in production, where evidence grows and is looked at again and again: they stay, and faulty ones go.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
import pytest

from include.evaluation.bootstrap import draw
from include.evaluation.comparison import compare
from include.evaluation.live import Judgement, Labelled, LiveEvidence, Rows, Rules, judge
from tests.evaluation.contest import BLIND, JUDGING, SEEDS, Contest

#: What had come in when the judge looked; it would look more often, but that gives the same answers in between.
pytestmark = pytest.mark.by_turns
SEEN = (300, 675, 1519, 3417, 7688, 11_533)
RULES = Rules(
    stage="canary_10",
    kind="canary",
    task="binary_classification",
    metric="roc_auc",
    threshold=0.3,
    requests=12_000,
    labels=0,
    time_s=None,
    length_s=None,
    error_rate=0.01,
    p99_ms=None,
    added_ms=10.0,
    prediction_shift=0.2,
    quality_margin=0.02,
)


@dataclass(frozen=True)
class Month:
    """28 real days of flights and what five models of the flagship's definition say of them."""

    labels: np.ndarray
    times: np.ndarray
    said: list[np.ndarray]
    blind: np.ndarray

    def judged(
        self, challenger: np.ndarray, champion: np.ndarray, *, start: int, labelled: bool = True
    ) -> tuple[int, Judgement]:
        """The judge looks as flights come in from row ``start`` on; ends with a rollback or the last look."""
        for seen in SEEN:
            rows = slice(start, start + seen)
            well = np.zeros(seen, dtype=bool)
            found = judge(
                LiveEvidence(
                    rows=Rows(challenger[rows], champion[rows], well, well, self.times[rows]),
                    labelled=Labelled(self.labels[rows], challenger[rows], champion[rows], self.times[rows])
                    if labelled
                    else Labelled(),
                ),
                RULES,
            )
            if found.verdict == "rollback":
                break
        return seen, found


@pytest.fixture(scope="module")
def month(contest: Contest) -> Month:
    said = [contest.predictions[name] for name in SEEDS[:5]]
    times = contest.flights.holdout["scheduled_at"].to_numpy()
    return Month(contest.flights.labels, times, said, contest.predictions[BLIND[0]])


def starts(number: int) -> list[int]:
    """First rows, spread over the month."""
    return np.random.default_rng(11).integers(0, 12_000, number).tolist()


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


@pytest.mark.parametrize("labelled", [True, False])
def test_of_twenty_challengers_that_differ_by_their_seed_only_at_most_one_is_rolled_back(
    month: Month, labelled: bool
) -> None:
    pairs = list(permutations(range(5), 2))
    found = [
        month.judged(month.said[one], month.said[other], start=start, labelled=labelled)[1].verdict
        for (one, other), start in zip(pairs, starts(len(pairs)), strict=True)
    ]
    assert len(pairs) == 20
    assert found.count("rollback") <= 1


def test_noise_that_costs_two_points_of_roc_auc_is_rolled_back_within_some_thousand_labels(month: Month) -> None:
    random = np.random.default_rng(5)
    seen = []
    for seed, start in enumerate(starts(5)):
        champion = month.said[seed]
        logit = np.log(champion / (1 - champion))
        noisy = 1 / (1 + np.exp(-logit - random.normal(0, 0.5 * logit.std(), logit.size)))
        rows, found = month.judged(noisy, champion, start=start)
        assert found.verdict == "rollback"
        assert "ROC AUC" in found.reason
        seen.append(rows)
    assert np.median(seen) <= 7688


def test_a_shift_of_a_quarter_standard_deviation_without_labels_is_rolled_back_within_some_hundred_rows(
    month: Month,
) -> None:
    seen = []
    for seed, start in enumerate(starts(5)):
        champion = month.said[seed]
        spread = champion[start : start + 675].std()  # of one day; that of the month may be less
        rows, found = month.judged(np.clip(champion + 0.25 * spread, 0, 1), champion, start=start, labelled=False)
        assert found.verdict == "rollback"
        seen.append(rows)
    assert np.median(seen) <= 675


def test_a_model_that_knows_the_weather_is_not_rolled_back_for_one_that_does_not(month: Month) -> None:
    for seed, start in enumerate(starts(5)):
        assert month.judged(month.said[seed], month.blind, start=start)[1].verdict != "rollback"
