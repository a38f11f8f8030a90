"""The business's own number: what may be written, and what is said of what may not."""

from __future__ import annotations

import pytest

from include.spec.loader import DefinitionError, load_definition
from tests.spec.conftest import VALID, Write, said_of

SLICES = "  slices: [carrier]\n"
GOOD = '{expression: "CASE WHEN decision THEN delay - 15 ELSE 0 END", per: distance, goal: greater}'
REGRESSION = VALID.replace("binary_classification", "regression").replace("roc_auc", "rmse").replace("log_loss", "mae")

# the objective, the key of the error, and words of the message
BAD: dict[str, tuple[str, str, str]] = {
    "no expression": ("{goal: greater}", "expression", "Add `expression`"),
    "no goal": ("{expression: prediction}", "goal", "Add `goal`"),
    "unknown goal": ("{expression: prediction, goal: large}", "goal", "greater"),
    "no text": ('{expression: "prediction +", goal: smaller}', "expression", "cannot be parsed"),
    "aggregate": ('{expression: "sum(prediction)", goal: smaller}', "expression", "is an aggregate"),
    "unknown column": ('{expression: "prediction * distanc", goal: smaller}', "expression", "Did you mean `distance`?"),
    "unknown column in per": ("{expression: prediction, per: wight, goal: smaller}", "per", "there is no column"),
    "nothing predicted": ("{expression: distance, goal: smaller}", "expression", "every model would reach the same"),
    "no title": ('{expression: prediction, goal: smaller, title: ""}', "title", "at least 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_objective_names_key_and_cure(case: str, write: Write) -> None:
    text, key, words = BAD[case]
    assert words in said_of(write((SLICES, f"{SLICES}  objective: {text}\n")), f"evaluation.objective.{key}")


def test_it_is_a_metric_like_any_other(write: Write) -> None:
    gates = ("    - {metric: roc_auc, at_least: 0.6}\n", "    - {metric: objective, at_least: 2}\n")
    objective = load_definition(write((SLICES, f"{SLICES}  objective: {GOOD}\n"), gates)).evaluation.objective
    assert objective is not None
    assert objective.columns() == {"delay", "distance"}


def test_without_one_there_is_no_such_metric(write: Write) -> None:
    with pytest.raises(DefinitionError, match="nothing says what the objective is"):
        load_definition(write(("metrics: [roc_auc]", "metrics: [objective]")))


def test_a_regression_decides_nothing(write: Write) -> None:
    with pytest.raises(DefinitionError, match="a regression decides nothing"):
        load_definition(write((SLICES, f"{SLICES}  objective: {GOOD}\n"), text=REGRESSION))
    load_definition(
        write((SLICES, f"{SLICES}  objective: {GOOD.replace('decision', 'prediction > 15')}\n"), text=REGRESSION)
    )


@pytest.mark.parametrize(
    ("deployment", "key"),
    [
        ("{stages: [canary: 10, champion], rollback: {metric: objective}}", "deployment.rollback.metric"),
        (
            "{stages: [ab: {share: 50, length: 14d, metric: objective}, champion], rollback: {metric: roc_auc}}",
            "deployment.stages[0]",
        ),
    ],
)
def test_in_production_it_may_only_read_what_requests_carry(deployment: str, key: str, write: Write) -> None:
    def load(objective: str, *changes: tuple[str, str]) -> None:
        staged = ("owner: ops\n", f"owner: ops\ndeployment: {deployment}\n")
        load_definition(write((SLICES, f"{SLICES}  objective: {objective}\n"), staged, *changes))

    carried = '{expression: "(prediction - label) * distance", goal: smaller}'
    load(carried)
    with pytest.raises(DefinitionError) as caught:
        load(GOOD)
    assert [one.key for one in caught.value.problems] == [key]
    assert "requests do not carry delay" in str(caught.value)
    with pytest.raises(DefinitionError, match="only hashes of distance"):
        load(carried, ("owner: ops\n", "owner: ops\nserving: {personal: [distance]}\n"))


def test_a_first_gate_against_the_champion_makes_it_the_metric_in_production(write: Write) -> None:
    staged = ("owner: ops\n", "owner: ops\ndeployment: {stages: [shadow, champion]}\n")
    gates = ("{metric: log_loss, against: champion}", "{metric: objective, against: champion}")
    with pytest.raises(DefinitionError, match="it judges in production, too"):
        load_definition(write((SLICES, f"{SLICES}  objective: {GOOD}\n"), staged, gates))
    load_definition(write((SLICES, f"{SLICES}  objective: {GOOD}\n"), gates))


COSTS = "  costs: {false_positive: 1, false_negative: 5}\n"
FOUND = "  threshold_from: validation\n"
# lines of the section evaluation, and words of the message
BAD_THRESHOLDS: dict[str, tuple[str, str]] = {
    "worth nothing": (FOUND, "nothing says what a decision is worth. Give evaluation.costs"),
    "objective without decision": (
        f"{FOUND}  objective: {{expression: prediction, goal: smaller}}\n",
        "or an evaluation.objective that reads decision",
    ),
    "given, too": (f"{FOUND}{COSTS}  threshold: 0.4\n", "each version's own threshold takes its place"),
    "unknown": (f"{COSTS}  threshold_from: valdation\n", "Did you mean `validation`?"),
}


@pytest.mark.parametrize("case", BAD_THRESHOLDS)
def test_a_threshold_that_cannot_be_found_is_said(case: str, write: Write) -> None:
    lines, words = BAD_THRESHOLDS[case]
    assert words in said_of(write((SLICES, f"{SLICES}{lines}")), "evaluation")


@pytest.mark.parametrize("worth", [COSTS, f"  objective: {GOOD}\n"])
def test_a_threshold_may_be_found_by_costs_or_the_objective(worth: str, write: Write) -> None:
    assert load_definition(write((SLICES, f"{SLICES}{FOUND}{worth}"))).evaluation.threshold_from == "validation"


def test_a_regression_has_no_threshold_to_find(write: Write) -> None:
    with pytest.raises(DefinitionError, match="which has no threshold"):
        load_definition(write((SLICES, f"{SLICES}{FOUND}"), text=REGRESSION))
