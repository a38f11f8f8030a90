"""Rules of fairness: columns that can be groups, measures that fit the task, nothing personal."""

from __future__ import annotations

import pytest

from tests.spec.conftest import Write, said_of

RULE = "  fairness: [{column: carrier, measure: demographic_parity_difference, limit: 0.2}]\n"


def rule(text: str) -> tuple[str, str]:
    return ("  slices: [carrier]\n", f"  slices: [carrier]\n  fairness: [{{{text}}}]\n")


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("column: carier, measure: equalized_odds_difference", "column", "there is no column 'carier'"),
        ("column: distance, measure: equalized_odds_difference", "column", "whose values are no groups"),
        ("column: carrier, measure: mae_difference", "measure", "mae_difference is not for binary_classification"),
        ("column: carrier, measure: equalized_odds_ratio, limit: 1.5", "limit", "can never be reached"),
    ],
)
def test_a_rule_that_cannot_be_judged_is_refused(write: Write, text: str, key: str, words: str) -> None:
    assert words in said_of(write(rule(text)), f"evaluation.fairness[0].{key}")


def test_a_personal_column_is_refused_and_the_same_rule_twice(write: Write) -> None:
    good = "column: carrier, measure: equalized_odds_difference"
    twice = ("  slices: [carrier]\n", f"  slices: [carrier]\n  fairness: [{{{good}}}, {{{good}}}]\n")
    assert "is there twice" in said_of(write(twice), "evaluation.fairness[1]")
    personal = (rule(good)[0], rule(good)[1] + "serving: {personal: [carrier]}\n")
    assert "carrier is personal" in said_of(write(personal), "evaluation.fairness[0].column")
