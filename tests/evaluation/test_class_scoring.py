"""Metrics of several classes: against scikit-learn, under weightings, in comparisons, baselines and live judgements."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sklearn_metrics

from include.evaluation.baselines import linear_baseline, naive_baseline
from include.evaluation.class_scoring import MulticlassScorer
from include.evaluation.comparison import Judging, compare
from include.evaluation.fairness import judge_fairness
from include.evaluation.live import Arm, Labelled, LiveEvidence, Rows, judge
from include.evaluation.logged_models import ModelIncompatible, _as_array
from include.evaluation.metrics import metrics_of
from include.evaluation.scoring import UnusablePredictions, make_scorer
from tests.evaluation.test_live import RULES

CLASSES = ("early", "late", "never")
TASK: Any = "multiclass_classification"


def sample(rows: int = 600, seed: int = 1, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels of three classes, the last one rare, and probabilities that know something of them."""
    random = np.random.default_rng(seed)
    labels = random.choice(3, rows, p=[0.6, 0.35, 0.05]).astype(float)
    scores = np.eye(3)[labels.astype(int)] * 1.5 + random.normal(0, noise, (rows, 3))
    raised = np.exp(scores)
    return labels, raised / raised.sum(axis=1, keepdims=True)


def point(labels: np.ndarray, answers: np.ndarray) -> dict[str, float]:
    found = MulticlassScorer(labels, answers).score(np.ones((1, labels.size)))
    return {name: float(values[0]) for name, values in found.items()}


def test_values_are_scikit_learns() -> None:
    labels, answers = sample()
    found, said = point(labels, answers), answers.argmax(axis=1)
    assert found["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(labels, said))
    assert found["macro_f1"] == pytest.approx(sklearn_metrics.f1_score(labels, said, average="macro"))
    assert found["log_loss"] == pytest.approx(sklearn_metrics.log_loss(labels, answers))
    expected = sklearn_metrics.roc_auc_score(labels, answers, multi_class="ovr", average="macro")
    assert found["roc_auc"] == pytest.approx(expected)
    assert found["brier"] == pytest.approx(((answers - np.eye(3)[labels.astype(int)]) ** 2).sum(axis=1).mean())
    assert list(found) == [metric.name for metric in metrics_of(TASK, costs=False)]


def test_a_weighting_is_the_same_as_repeating_rows() -> None:
    labels, answers = sample(120)
    counts = np.random.default_rng(3).integers(0, 4, labels.size)
    weighted = MulticlassScorer(labels, answers).score(counts[None, :].astype(float))
    repeated = point(np.repeat(labels, counts), np.repeat(answers, counts, axis=0))
    assert {name: float(values[0]) for name, values in weighted.items()} == pytest.approx(repeated)


def test_of_equal_probabilities_the_first_class_is_the_answer() -> None:
    scorer = MulticlassScorer(np.array([0.0, 1.0]), np.full((2, 3), 1 / 3))
    assert scorer.confusion().tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 0]]
    early, late, never = scorer.by_class(CLASSES)
    assert (early["precision"], early["recall"], late["recall"]) == (0.5, 1.0, 0.0)
    assert (never["recall"], never["precision"], never["rows"]) == (None, None, 0)


def test_rows_of_one_class_leave_the_ranking_undefined() -> None:
    scorer = make_scorer(TASK, np.zeros(4), np.tile([0.5, 0.3, 0.2], (4, 1)), threshold=0.5, whose="m")
    assert np.isnan(scorer.score(np.ones((1, 4)))["roc_auc"][0])
    assert "of one class" in scorer.undefined("roc_auc")


@pytest.mark.parametrize(
    ("labels", "answers", "words"),
    [
        ([0.0, 3.0], [[0.5, 0.3, 0.2]] * 2, "none of the classes"),
        ([0.0, 0.5], [[0.5, 0.3, 0.2]] * 2, "none of the classes"),
        ([0.0], [[1.5, -0.3, -0.2]], "not a probability"),
        ([0.0], [[np.nan, 0.3, 0.2]], "not finite"),
        ([0.0], [0.5], "none of the classes"),
        ([0.0, 1.0], [[0.5, 0.3, 0.2]], "2,"),
    ],
)
def test_what_cannot_be_judged_is_refused(labels: list[float], answers: list[Any], words: str) -> None:
    with pytest.raises(UnusablePredictions, match=words):
        make_scorer(TASK, np.array(labels), np.array(answers), threshold=0.5, whose="m")


def test_a_better_model_wins_the_paired_comparison() -> None:
    labels, good = sample(900, noise=0.7)
    _, bad = sample(900, noise=2.5)
    judging = Judging(task=TASK, threshold=0.5, rounds=200, confidence=0.95, seed=1, classes=CLASSES)
    found = compare(judging, labels, good, {"champion": bad})
    assert all((found.improvements["champion"][metric.name].low or 0) > 0 for metric in judging.metrics)


class TestBaselines:
    def test_the_naive_one_says_the_shares_of_the_classes(self) -> None:
        found = naive_baseline(TASK, np.array([0.0, 0.0, 1.0, 2.0]), 2, CLASSES)
        assert found.predictions.tolist() == [[0.5, 0.25, 0.25]] * 2
        assert "early 0.500" in found.description

    def test_the_linear_one_beats_it_and_covers_classes_it_has_not_seen(self) -> None:
        labels, _ = sample(800)
        labels[labels == 2] = 1
        frame = pd.DataFrame({"feature_x": labels + np.random.default_rng(2).normal(0, 0.5, 800), "label": labels})
        found = linear_baseline(TASK, {"x": "numeric"}, frame, frame, CLASSES)
        assert found.predictions.shape == (800, 3)
        assert found.predictions[:, 2].max() == 0
        assert point(labels, found.predictions)["accuracy"] > 0.8


class TestAnotherModelsClasses:
    def answer(self, *names: str) -> pd.DataFrame:
        return pd.DataFrame({"prediction": ["early"], **{f"probability_{name}": [0.5] for name in names}})

    def test_classes_that_were_added_later_have_no_probability_in_it(self) -> None:
        assert _as_array(self.answer("early", "late"), "champion version 1", 1, CLASSES).tolist() == [[0.5, 0.5, 0.0]]

    @pytest.mark.parametrize("names", [("late", "early"), ("early", "gone"), ()])
    def test_another_order_is_refused(self, names: tuple[str, ...]) -> None:
        with pytest.raises(ModelIncompatible, match="only be added at the end"):
            _as_array(self.answer(*names), "champion version 1", 1, CLASSES)


def test_a_comparison_on_part_of_the_rows_needs_two_classes() -> None:
    times = np.datetime64("2013-01-01") + np.arange(300) * np.timedelta64(1, "h")
    seen = [(times[0].item(), times[100].item())]
    pair = np.where(np.arange(300) % 2, 0.0, 2.0)
    assert judge_fairness(TASK, times, pair, seen, version=1).status == "part"
    one = judge_fairness(TASK, times, np.zeros(300), seen, version=1)
    assert (one.status, "only 1 class" in str(one.reason)) == ("unfair", True)


class TestLive:
    rules = replace(RULES, task=TASK, metric="log_loss", labels=300)

    def evidence(self, challenger: np.ndarray, champion: np.ndarray, labels: np.ndarray) -> LiveEvidence:
        size = labels.size
        times = np.datetime64("2013-12-01T00", "m") + np.arange(size) * np.timedelta64(30, "m")
        rows = Rows(challenger, champion, np.zeros(size, bool), np.zeros(size, bool), times)
        return LiveEvidence(60.0, rows, labelled=Labelled(labels, challenger, champion, times))

    def test_an_equal_challenger_advances(self) -> None:
        labels, champion = sample(2500)
        found = judge(self.evidence(champion.copy(), champion, labels), self.rules)
        assert found.verdict == "advance", found

    def test_one_that_moves_a_class_is_rolled_back_and_the_class_is_named(self) -> None:
        labels, champion = sample(2500)
        moved = champion * [1, 1, 0.2] + [0, 0, 0.5]
        moved /= moved.sum(axis=1, keepdims=True)
        found = judge(self.evidence(moved, champion, labels), self.rules)
        assert found.verdict == "rollback"
        assert "of 3" in found.reason

    def test_one_that_is_worse_is_rolled_back_for_its_quality(self) -> None:
        labels, champion = sample(2500, noise=0.6)
        worse = np.random.default_rng(4).permuted(champion, axis=0)
        worse /= worse.sum(axis=1, keepdims=True)
        rules = replace(self.rules, prediction_shift=9.0)
        found = judge(self.evidence(worse, champion, labels), rules)
        assert found.verdict == "rollback"
        assert "Log loss" in found.reason

    def test_rows_without_an_answer_are_not_paired(self) -> None:
        _, champion = sample(50)
        challenger = champion.copy()
        challenger[3, 1] = np.nan
        rows = Rows(challenger, champion)
        assert rows.requests == 49

    def test_an_ab_test_judges_each_arm_alone(self) -> None:
        labels, good = sample(1200, noise=0.6)
        bad = np.tile([0.34, 0.33, 0.33], (1200, 1))
        entities = np.arange(1200).astype(str)
        evidence = replace(
            self.evidence(bad, good, labels),
            elapsed_s=100.0,
            arms={"challenger": Arm(labels, bad, entities), "champion": Arm(labels, good, entities)},
        )
        found = judge(evidence, replace(self.rules, stage="ab", kind="ab", length_s=50.0))
        assert [check.passed for check in found.checks if check.check == "ab_log_loss"] == [False]
