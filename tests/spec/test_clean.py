"""The section clean: what may be written, and what is said of what may not."""

from __future__ import annotations

import pytest

from include.spec.columns import added_inputs, model_inputs
from include.spec.loader import DefinitionError, load_definition
from tests.spec.conftest import Write

# the rule of one feature, the key of the error below it, and words of the message
BAD: dict[str, tuple[str, str, str]] = {
    "unknown feature": ("distanc: {missing: median}", "distanc", "Did you mean `distance`?"),
    "unknown way": ("distance: {missing: medain}", "distance.missing", "Did you mean `median`?"),
    "unknown key": ("distance: {outlier: {clip: [0, 1]}}", "distance.outlier", "Did you mean `outliers`?"),
    "way and value": ("distance: {missing: {how: mean, value: 0}}", "distance.missing", "exactly one of how and value"),
    "neither": ("distance: {missing: {}}", "distance.missing", "exactly one of how and value"),
    "nothing": ("distance: {}", "distance", "nothing is cleaned here"),
    "median of texts": ("carrier: {missing: median}", "carrier.missing", "Write most_frequent"),
    "number for a text": ("carrier: {missing: {value: 0}}", "carrier.missing.value", "Write a text"),
    "text for a number": ("distance: {missing: {value: none}}", "distance.missing.value", "Write a number"),
    "truth for a number": ("distance: {missing: {value: true}}", "distance.missing.value", "Write a number"),
    "number too large": ("distance: {missing: {value: 1.0e+39}}", "distance.missing.value", "Write a number"),
    "outliers of texts": ("carrier: {outliers: {winsorize: [0, 0.9]}}", "carrier.outliers", "only numbers have"),
    "no bounds": ("distance: {outliers: {}}", "distance.outliers", "exactly one of clip and winsorize"),
    "one end": ("distance: {outliers: {clip: [1]}}", "distance.outliers", "low and a high end"),
    "both ends open": ("distance: {outliers: {clip: [null, null]}}", "distance.outliers", "low and a high end"),
    "ends swapped": ("distance: {outliers: {clip: [2, 1]}}", "distance.outliers", "low and a high end"),
    "end too large": ("distance: {outliers: {clip: [0, 1.0e+39]}}", "distance.outliers.clip", "no number of 32 bits"),
    "percent": ("distance: {outliers: {winsorize: [1, 99]}}", "distance.outliers", "write them as [0.01, 0.99]"),
    "flag of nothing": ("distance: {flag: true}", "distance.flag", "Add outliers"),
    "kept for nothing": ("distance: {outliers: {clip: [0, 1], keep: true}}", "distance.outliers.keep", "flag: true"),
    "indicator of dropped": ("distance: {missing: drop, indicator: true}", "distance.indicator", "Keep one of the two"),
}
FEATURES = "features:\n"


@pytest.mark.parametrize("case", BAD)
def test_a_bad_rule_names_key_and_cure(case: str, write: Write) -> None:
    text, key, words = BAD[case]
    with pytest.raises(DefinitionError) as caught:
        load_definition(write((FEATURES, f"clean:\n  features:\n    {text}\n{FEATURES}")))
    said = [f"{one.what}. {one.cure}" for one in caught.value.problems if one.key == f"clean.features.{key}"]
    assert any(words.casefold() in one.casefold() for one in said), str(caught.value)


@pytest.mark.parametrize(("key", "name"), [("indicator", "distance_missing"), ("flag", "Distance_Outlier")])
def test_an_added_input_must_not_have_the_name_of_a_feature(key: str, name: str, write: Write) -> None:
    rule = "distance: {missing: median, indicator: true, outliers: {clip: [0, 1]}, flag: true}"
    features = f"clean:\n  features:\n    {rule}\n{FEATURES}  {name}: distance * 2\n"
    with pytest.raises(DefinitionError, match=f"clean.features.distance.{key}: it adds the input {name.lower()}"):
        load_definition(write((FEATURES, features)))


def test_good_rules_load_and_say_which_inputs_they_add(write: Write) -> None:
    rules = (
        "clean:\n  features:\n"
        "    carrier: {missing: {value: unknown}, indicator: true}\n"
        "    hour: {missing: drop}\n"
        "    distance: {missing: median, indicator: true, outliers: {winsorize: [0.01, 0.99]}, flag: true}\n"
    )
    definition = load_definition(write((FEATURES, rules + FEATURES)))
    assert model_inputs(definition) == [
        *("distance", "hour", "carrier"),
        *("distance_missing", "distance_outlier", "carrier_missing"),
    ]
    assert {name: (added.of, added.flag) for name, added in added_inputs(definition).items()} == {
        "distance_missing": ("distance", "missing"),
        "distance_outlier": ("distance", "outlier"),
        "carrier_missing": ("carrier", "missing"),
    }
