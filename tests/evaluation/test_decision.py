"""The decision: who must win wins, who must keep its place keeps it, and luck promotes hardly ever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from include.evaluation.comparison import Judging, compare
from include.evaluation.decision import Decision, GateWithoutCondition, Standing, apply_gate, decide
from include.evaluation.metrics import UnknownMetric
from include.spec.definition import Gate

AS_OF = datetime(2013, 10, 1, 4, tzinfo=UTC)
BEATS_CHAMPION = Gate(metric="roc_auc", against="champion")
NO_ONE = Standing()
JUDGING = Judging(task="binary_classification", threshold=0.3, rounds=150, confidence=0.95, seed=7)


def evaluation(
    labels: np.ndarray, challenger: np.ndarray, champion: np.ndarray | None = None, version: int = 1
) -> dict[str, Any]:
    """What the step evaluate hands to decide."""
    naive = np.full(labels.size, labels.mean())
    references = {"naive": naive} | ({} if champion is None else {"champion": champion})
    measured = compare(JUDGING, labels, challenger, references)
    status = "none" if champion is None else "fair"
    return {
        "challenger": {name: one.to_document() for name, one in measured.estimates["challenger"].items()},
        "improvements": {
            other: {name: one.to_document() for name, one in found.items()}
            for other, found in measured.improvements.items()
        },
        "comparison": {"status": status, "champion_version": None if champion is None else version, "reason": None},
        "fair": True,
        "unfair_reason": None,
    }


def sample(skill: float, seed: int = 0, rows: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Labels (always the same) and scores of a model of that skill."""
    labels = (np.random.default_rng(99).random(rows) < 0.25).astype(float)
    noise = np.random.default_rng(seed).normal(0, 0.2, rows)
    return labels, np.clip(0.3 + skill * (labels - 0.25) + noise, 0.001, 0.999)


def duel(challenger: float, champion: float, gates: list[Gate] | None = None, **standing: Any) -> Decision:
    labels, mine = sample(challenger, seed=1)
    document = evaluation(labels, mine, sample(champion, seed=2)[1])
    known = Standing(**({"champion_version": 1, "champion_as_of": AS_OF - timedelta(days=30)} | standing))
    return decide("binary_classification", gates or [BEATS_CHAMPION], document, known, as_of=AS_OF)


def test_a_truly_better_challenger_is_promoted_and_the_reason_says_by_how_much() -> None:
    decision = duel(0.3, 0.1)

    assert decision.promote
    assert decision.gates[0].by == pytest.approx(decision.gates[0].low)
    assert "ROC AUC better than the champion: passed by 0." in decision.reason


def test_a_champion_that_must_win_keeps_its_place_and_the_reason_names_the_gate_and_by_how_much() -> None:
    decision = duel(0.1, 0.3)

    assert decision.verdict == "keep"
    assert "ROC AUC better than the champion: failed by 0." in decision.reason
    assert decision.gates[0].by is not None
    assert decision.gates[0].by < 0


def test_an_equal_model_does_not_win() -> None:
    labels, scores = sample(0.2)
    standing = Standing(champion_version=1, champion_as_of=AS_OF)
    decision = decide(
        "binary_classification", [BEATS_CHAMPION], evaluation(labels, scores, scores), standing, as_of=AS_OF
    )

    assert not decision.promote


def test_the_margin_is_asked_of_the_lower_bound() -> None:
    low = duel(0.3, 0.1).gates[0].low
    assert low is not None

    assert duel(0.3, 0.1, [Gate(metric="roc_auc", against="champion", margin=low - 0.01)]).promote
    assert not duel(0.3, 0.1, [Gate(metric="roc_auc", against="champion", margin=low + 0.01)]).promote


def test_the_first_model_passes_its_champion_gate_with_a_note() -> None:
    labels, scores = sample(0.3)
    gates = [BEATS_CHAMPION, Gate(metric="log_loss", against="naive")]
    decision = decide("binary_classification", gates, evaluation(labels, scores), NO_ONE, as_of=AS_OF)

    assert "no champion yet" in decision.reason
    assert decision.gates[0].passed
    shown = decision.to_document()["gates"][0]
    assert (shown["note"], shown["value"], shown["bound"], shown["by"]) == ("no champion yet", None, None, None)
    assert all(isinstance(gate["note"], str) for gate in decision.to_document()["gates"])


@pytest.mark.parametrize(
    ("gate", "passed"),
    [
        (Gate(metric="roc_auc", at_least=0.6), True),
        (Gate(metric="roc_auc", at_least=0.99), False),
        (Gate(metric="log_loss", at_most=2.0), True),
        (Gate(metric="log_loss", at_most=0.01), False),
    ],
)
def test_absolute_gates_look_at_the_value_and_show_its_interval(gate: Gate, passed: bool) -> None:
    labels, scores = sample(0.3)
    [outcome] = apply_gate("binary_classification", gate, evaluation(labels, scores))

    assert outcome.passed is passed
    assert outcome.low < outcome.value < outcome.high  # type: ignore[operator]
    assert (outcome.by >= 0) is passed  # type: ignore[operator]


def test_a_gate_with_two_bounds_gives_two_outcomes() -> None:
    labels, scores = sample(0.3)
    outcomes = apply_gate(
        "binary_classification", Gate(metric="accuracy", at_least=0.1, at_most=0.2), evaluation(labels, scores)
    )

    assert [outcome.passed for outcome in outcomes] == [True, False]


def test_an_undefined_metric_fails_its_gate_with_the_reason() -> None:
    labels = np.zeros(100)
    document = evaluation(labels, np.linspace(0, 0.5, 100))
    gates = [Gate(metric="roc_auc", at_least=0.5), Gate(metric="roc_auc", against="naive")]
    decision = decide("binary_classification", gates, document, NO_ONE, as_of=AS_OF)

    assert not decision.promote
    assert [outcome.passed for outcome in decision.gates] == [False, False]
    assert "none of the 100 rows has the label 1" in decision.reason


def test_a_gate_that_asks_for_nothing_is_refused() -> None:
    labels, scores = sample(0.3)
    with pytest.raises(GateWithoutCondition, match="roc_auc"):
        apply_gate("binary_classification", Gate(metric="roc_auc"), evaluation(labels, scores))


def test_a_gate_on_a_metric_of_the_other_task_is_refused() -> None:
    labels, scores = sample(0.3)
    with pytest.raises(UnknownMetric):
        apply_gate("binary_classification", Gate(metric="rmse", at_most=1), evaluation(labels, scores))


@pytest.mark.parametrize(
    ("standing", "reason"),
    [
        ({"challenger_version": 1}, "already champion"),
        ({"challenger_version": 2, "barred": True}, "Version 2 is barred"),
        ({"champion_as_of": AS_OF + timedelta(days=1)}, "An older model never replaces a newer champion"),
        ({"champion_version": 5}, "The champion changed to version 5 after the evaluation"),
        ({"retired": True}, "retired"),
    ],
)
def test_a_better_challenger_is_kept_out(standing: dict[str, Any], reason: str) -> None:
    decision = duel(0.3, 0.1, **standing)

    assert decision.verdict == "keep"
    assert reason in decision.reason
    assert decision.gates[0].passed


@pytest.mark.parametrize("status", ["unfair", "self"])
def test_without_a_fair_comparison_nothing_is_promoted(status: str) -> None:
    labels, scores = sample(0.3)
    document = evaluation(labels, scores) | {"fair": False, "unfair_reason": "too few rows"}
    document["comparison"] = {"status": status, "champion_version": 1, "reason": "too few rows"}
    standing = Standing(champion_version=1, champion_as_of=AS_OF)
    gates = [Gate(metric="roc_auc", at_least=0.1)]

    decision = decide("binary_classification", gates, document, standing, as_of=AS_OF)

    assert decision.verdict == "keep"
    assert "too few rows" in decision.reason


def test_a_version_barred_without_any_champion_stays_out() -> None:
    labels, scores = sample(0.3)
    standing = Standing(challenger_version=2, barred=True)
    gates = [Gate(metric="roc_auc", at_least=0.1)]

    assert not decide("binary_classification", gates, evaluation(labels, scores), standing, as_of=AS_OF).promote
