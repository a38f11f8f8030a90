"""The judgement of a challenger in production: what takes it out, what does not, and when it goes on."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from include.evaluation.live import Arm, Judgement, Labelled, Latencies, LiveEvidence, Rows, Rules, judge

RULES = Rules(
    stage="canary_10",
    kind="canary",
    task="binary_classification",
    metric="roc_auc",
    threshold=0.3,
    requests=300,
    labels=0,
    time_s=None,
    length_s=None,
    error_rate=0.01,
    p99_ms=100.0,
    added_ms=10.0,
    prediction_shift=0.2,
    quality_margin=0.02,
)
HOUR = np.timedelta64(1, "h")


class World:
    """Rows of many days, 200 a day, whose true probabilities the champion knows but for some noise."""

    def __init__(self, rows: int, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.times = np.datetime64("2013-12-01T00", "m") + np.arange(rows) * np.timedelta64(7, "m")
        self.truth = self.random.beta(1.2, 3.6, rows)
        self.labels = (self.random.random(rows) < self.truth).astype(float)
        self.champion = self.like_the_truth(0.6)

    def like_the_truth(self, noise: float) -> np.ndarray:
        logit = np.log(self.truth / (1 - self.truth)) + self.random.normal(0, noise, self.truth.size)
        return 1 / (1 + np.exp(-logit))

    def blurred(self, noise: float) -> np.ndarray:
        """What the champion says, less accurately."""
        logit = np.log(self.champion / (1 - self.champion))
        return 1 / (1 + np.exp(-logit - self.random.normal(0, noise, logit.size)))

    def evidence(
        self, challenger: np.ndarray, *, labelled: int | None = 0, first: int | None = None, **changes: Any
    ) -> LiveEvidence:
        """What was seen of the first rows; of these so many are labelled (None: all)."""
        seen = slice(0, first)
        size = self.champion[seen].size
        rows = Rows(challenger[seen], self.champion[seen], np.zeros(size, bool), np.zeros(size, bool), self.times[seen])
        known = slice(0, size if labelled is None else labelled)
        labels = Labelled(self.labels[known], challenger[known], self.champion[known], self.times[known])
        return replace(LiveEvidence(elapsed_s=60.0, rows=rows, labelled=labels), **changes)


def failing(rows: int, *, mine: int = 0, others: int = 0, both: int = 0) -> LiveEvidence:
    """Rows of which some fail, spread evenly: only the challenger on ``mine``, and so on."""
    order = np.random.default_rng(5).permutation(rows)
    challenger_failed, champion_failed = np.zeros(rows, bool), np.zeros(rows, bool)
    challenger_failed[order[: mine + both]] = True
    champion_failed[order[mine : mine + both + others]] = True
    said = np.random.default_rng(6).random(rows)
    return LiveEvidence(
        elapsed_s=60.0,
        rows=Rows(
            np.where(challenger_failed, np.nan, said), np.where(champion_failed, np.nan, said),
            challenger_failed, champion_failed, np.zeros(rows),
        ),
    )  # fmt: skip


def taking(rows: int, *, added: float = 0.0, busy: float = 0.0, seed: int = 0) -> Latencies:
    """Latencies of about 1 ms; ``busy``: share of moments at which the machine is slow for everybody."""
    random = np.random.default_rng(seed)

    def times(number: int) -> np.ndarray:
        return random.gamma(4, 0.25, number) + np.where(random.random(number) < busy, 200.0, 0.0)

    mine = random.random(rows) < 0.3
    return Latencies(times(rows // 4) + added, times(rows // 4), times(rows) + added * mine, mine)


def failed(judgement: Judgement) -> set[str]:
    return {check.check for check in judgement.checks if not check.passed}


@pytest.fixture(scope="module")
def world() -> World:
    return World(6000)


def test_enough_requests_and_nothing_against_it_advance(world: World) -> None:
    found = judge(world.evidence(world.champion, first=300, latencies=taking(300)), RULES)
    assert found.verdict == "advance"
    assert found.reason.startswith("300 requests answered by both versions in the stage canary_10")


def test_too_few_requests_wait_and_say_how_many_are_missing(world: World) -> None:
    found = judge(world.evidence(world.champion, first=120), RULES)
    assert (found.verdict, found.seen) == ("wait", {"requests": 120, "labels": 0, "elapsed_s": 60.0})
    assert "120 of 300 requests" in found.reason
    assert judge(LiveEvidence(), RULES).verdict == "wait"


def test_after_the_stated_time_fewer_requests_do_but_not_none(world: World) -> None:
    rules = replace(RULES, time_s=50.0)
    assert judge(world.evidence(world.champion, first=5), rules).verdict == "advance"
    assert judge(world.evidence(world.champion, first=5, elapsed_s=40.0), rules).verdict == "wait"
    assert judge(LiveEvidence(elapsed_s=60.0), rules).verdict == "wait"


def test_labels_are_waited_for_if_they_are_asked_for(world: World) -> None:
    rules = replace(RULES, labels=500)
    found = judge(world.evidence(world.champion, first=1000, labelled=499), rules)
    assert (found.verdict, "499 of 500 labels" in found.reason) == ("wait", True)
    assert judge(world.evidence(world.champion, first=1000, labelled=500), rules).verdict == "advance"


@pytest.mark.parametrize(("rows", "mine"), [(20, 6), (300, 15), (1000, 35)])
def test_a_challenger_that_fails_on_some_rows_is_rolled_back(rows: int, mine: int) -> None:
    found = judge(failing(rows, mine=mine), RULES)
    assert (found.verdict, failed(found)) == ("rollback", {"errors"})
    assert f"it alone failed on {mine} of" in found.reason or "at least" in found.reason


def test_a_challenger_that_seems_to_fail_too_often_does_not_go_on_before_it_is_sure() -> None:
    judgement = judge(failing(150, mine=6), RULES)
    assert judgement.verdict == "wait"
    assert "seems too much" in judgement.reason


def test_rows_on_which_both_fail_are_not_the_challengers_fault() -> None:
    assert judge(failing(1000, both=60), RULES).verdict == "advance"
    assert judge(failing(1000, mine=40, others=40), RULES).verdict == "advance"
    assert judge(failing(1000, mine=80, others=10), RULES).verdict == "rollback"


def test_a_few_failures_within_what_is_allowed_are_borne() -> None:
    assert judge(failing(1000, mine=8), RULES).verdict == "advance"


def test_a_challenger_that_begins_to_fail_late_is_seen_too() -> None:
    early, late = failing(60_000), failing(5000, mine=2000)
    parts = (early.rows, late.rows)
    rows = Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in early.rows.__dataclass_fields__))
    assert judge(replace(early, rows=rows), RULES).verdict == "rollback"


def test_20_ms_more_than_the_champion_are_rolled_back(world: World) -> None:
    rules = replace(RULES, p99_ms=None)
    found = judge(world.evidence(world.champion, first=300, latencies=taking(300, added=20)), rules)
    assert (found.verdict, failed(found)) == ("rollback", {"added_ms", "added_ms_answered"})
    assert "ms longer than the champion" in found.reason
    shadow = replace(taking(300, added=20), answered=np.empty(0), by_challenger=np.empty(0, bool))
    assert failed(judge(world.evidence(world.champion, first=300, latencies=shadow), rules)) == {"added_ms"}


def test_a_slow_machine_is_nobodys_fault_and_a_slow_challenger_is(world: World) -> None:
    busy = world.evidence(world.champion, first=600, latencies=taking(600, busy=0.2))
    assert judge(busy, RULES).verdict == "advance"
    mine = taking(600)
    often = np.where(np.arange(mine.answered.size) % 5 == 0, 150.0, 0.0) * mine.by_challenger
    slow = world.evidence(world.champion, first=600, latencies=replace(mine, answered=mine.answered + often))
    assert failed(judge(slow, RULES)) == {"p99_ms"}


def test_a_shift_of_a_quarter_standard_deviation_is_rolled_back_without_labels(world: World) -> None:
    for moved in (0.25, -0.25):
        shifted = world.champion + moved * world.champion.std()
        found = judge(world.evidence(shifted, first=400), RULES)
        assert (found.verdict, failed(found)) == ("rollback", {"prediction_shift"})
        assert f"{moved:+.2f}"[:4] in found.reason


def test_a_shift_is_looked_for_before_a_stage_of_few_requests_ends(world: World) -> None:
    rules = replace(RULES, requests=150)
    for moved, verdict in ((0.35, "rollback"), (0.23, "wait"), (0.1, "advance")):
        shifted = world.champion + moved * world.champion[:150].std()
        assert judge(world.evidence(shifted, first=150), rules).verdict == verdict


def test_a_shift_within_the_limit_is_borne(world: World) -> None:
    moved = world.champion + 0.1 * world.champion.std()
    assert judge(world.evidence(moved), RULES).verdict == "advance"


def test_a_better_model_is_not_rolled_back_for_its_shift_when_labels_are_in(world: World) -> None:
    """The champion says too little; the challenger is right, and so is far from it."""
    low = World(6000, seed=3)
    better = low.champion
    low.champion = better * 0.6
    assert judge(low.evidence(better), RULES).verdict == "rollback"
    for labelled in (50, 400, None):
        assert judge(low.evidence(better, labelled=labelled), RULES).verdict != "rollback"
    found = judge(low.evidence(better, labelled=None), RULES)
    assert found.verdict == "advance"
    assert "labels show it to be better" in found.reason


def test_labels_that_do_not_speak_yet_hold_a_shifted_challenger_where_it_is(world: World) -> None:
    shifted = world.champion + 0.25 * world.champion.std()
    found = judge(world.evidence(shifted, first=600, labelled=40), RULES)
    assert found.verdict == "wait"
    assert "labels do not say yet" in found.reason


def test_labels_that_show_a_shifted_challenger_worse_take_it_out_though_its_ranking_is_the_same(world: World) -> None:
    shifted = world.champion + 0.6 * world.champion.std()
    found = judge(world.evidence(shifted, labelled=None), RULES)
    assert found.verdict == "rollback"
    assert "labels show it to be worse" in found.reason


def test_a_ranking_that_is_worse_by_two_points_is_rolled_back_by_some_thousand_labels() -> None:
    verdicts = []
    for seed in range(5):
        world = World(8000, seed=seed)
        verdicts.append(judge(world.evidence(world.blurred(0.58), labelled=None), RULES).verdict)
    assert verdicts.count("rollback") >= 4
    assert "advance" not in verdicts


def test_a_challenger_that_only_seems_worse_is_held() -> None:
    holding = 0
    for seed in range(12):
        world = World(2500, seed=seed)
        found = judge(world.evidence(world.like_the_truth(0.85), labelled=None), RULES)
        holding += found.verdict == "wait" and "it seems worse" in found.reason
    assert holding > 0


@pytest.mark.parametrize(("metric", "task"), [("log_loss", "binary_classification"), ("rmse", "regression")])
def test_metrics_where_less_is_better_are_judged_in_their_own_direction(metric: str, task: Any) -> None:
    world = World(4000)
    if task == "regression":
        world.labels = 100 * world.truth + world.random.normal(0, 5, world.truth.size)
        world.champion = 100 * world.truth
    worse = world.champion * 0.5 + 0.5 * np.roll(world.champion, 1)
    rules = replace(RULES, metric=metric, task=task, prediction_shift=9.0)
    assert judge(world.evidence(worse, labelled=None), rules).verdict == "rollback"
    champion, world.champion = world.champion, worse
    assert judge(world.evidence(champion, labelled=None), rules).verdict == "advance"


@pytest.mark.parametrize("answer", [1e40, 1e160, 1e300, -1.7e308])
@pytest.mark.parametrize("labelled", [0, None])
def test_answers_too_large_to_be_squared_are_still_held_against_it(answer: float, labelled: int | None) -> None:
    world = World(4000)
    world.labels, world.champion = 100 * world.truth, 100 * world.truth + world.random.normal(0, 5, world.truth.size)
    challenger = np.where(np.arange(4000) % 7 == 0, answer, world.champion)
    found = judge(world.evidence(challenger, labelled=labelled), replace(RULES, metric="rmse", task="regression"))
    assert found.verdict == "rollback"


def test_labels_of_one_class_say_nothing(world: World) -> None:
    evidence = world.evidence(world.champion, labelled=None)
    one = replace(evidence.labelled, labels=np.zeros_like(evidence.labelled.labels))
    found = judge(replace(evidence, labelled=one), RULES)
    assert found.verdict == "advance"
    assert any("undefined" in check.words for check in found.checks)


def arms(world: World, challenger: np.ndarray) -> dict[str, Arm]:
    mine = np.arange(world.truth.size) % 2 == 0
    entities = np.array([f"e{n // 4}" for n in range(world.truth.size)])
    return {
        "challenger": Arm(world.labels[mine], challenger[mine], entities[mine]),
        "champion": Arm(world.labels[~mine], world.champion[~mine], entities[~mine]),
    }


def test_an_ab_test_ends_at_its_length_not_before(world: World) -> None:
    rules = replace(RULES, kind="ab", stage="ab_50", length_s=100.0)
    evidence = world.evidence(world.champion, arms=arms(world, world.champion))
    assert "60 of 100 seconds" in judge(evidence, rules).reason
    found = judge(replace(evidence, elapsed_s=101.0), rules)
    assert found.verdict == "advance"
    assert "both versions answer the same" in found.reason
    few = {name: Arm(arm.labels[:50], arm.predictions[:50], arm.entities[:50]) for name, arm in evidence.arms.items()}
    assert "50 of 300 labelled rows" in judge(replace(evidence, elapsed_s=101.0, arms=few), rules).reason


def test_an_ab_test_whose_challenger_does_clearly_worse_is_rolled_back(world: World) -> None:
    rules = replace(RULES, kind="ab", stage="ab_50", length_s=10.0)
    bad = world.like_the_truth(3.0)
    found = judge(world.evidence(world.champion + 1e-9, arms=arms(world, bad)), rules)
    assert failed(found) == {"ab_roc_auc"}


def test_asking_again_and_between_the_looks_changes_nothing(world: World) -> None:
    worse = world.like_the_truth(0.9)
    values = [
        {check.check: check.value for check in judge(world.evidence(worse, labelled=n, first=n), RULES).checks}
        for n in (1170, 1300, 1500)
    ]
    assert values[0] == values[1] == values[2]


def test_the_judgement_is_json_without_nan(world: World) -> None:
    constant = world.evidence(np.full(6000, 0.2), labelled=None, latencies=taking(6000))
    for evidence in (constant, LiveEvidence(), failing(1000, mine=1000)):
        document = judge(evidence, RULES).to_document()
        json.dumps(document, allow_nan=False)
        assert set(document["checks"][0]) >= {"check", "value", "bound", "passed", "enough"}


def test_twenty_identical_challengers_are_never_rolled_back() -> None:
    for number in range(20):
        world = World(1500, seed=100 + number)
        for first in (60, 500, 1500):
            evidence = world.evidence(
                world.champion, first=first, labelled=None, latencies=taking(first, busy=0.02, seed=number)
            )
            evidence = replace(evidence, labelled=evidence.labelled.first(first))
            assert judge(evidence, RULES).verdict != "rollback"


def test_a_judgement_over_20_000_pairs_takes_a_fraction_of_a_second() -> None:
    world = World(20_000)
    other = world.like_the_truth(0.6)
    started = time.process_time()
    judge(world.evidence(other, labelled=None, latencies=taking(20_000)), RULES)
    assert time.process_time() - started < 2
