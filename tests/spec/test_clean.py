"""The section clean: what may be written, and what is said of what may not."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.spec.cleaned import cleaned
from include.spec.columns import added_inputs, model_inputs
from include.spec.expressions import ExpressionError, check_expression, substitute
from include.spec.loader import DefinitionError, load_definition
from include.spec.units import Unit, convert_sql, quantity
from tests.spec.conftest import Write, said_of

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
    said = said_of(write((FEATURES, f"clean:\n  features:\n    {text}\n{FEATURES}")), f"clean.features.{key}")
    assert words.casefold() in said.casefold()


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


# the rule of one column, the key of the error below it, and words of the message
BAD_COLUMNS: dict[str, tuple[str, str, str]] = {
    "unknown column": ("distanc: abs(distanc)", "distanc", "Did you mean `distance`?"),
    "not read": ("id: id + 1", "id", "neither a feature nor the label reads id"),
    "nothing": ("distance: {}", "distance", "nothing is cleaned here"),
    "unsound": ("distance: distance +", "distance.expression", "cannot be parsed"),
    "aggregate": ("distance: {null_if: distance > max(distance)}", "distance.null_if", "is an aggregate"),
    "unknown in it": ("distance: {null_if: distanc < 0}", "distance.null_if", "Did you mean `distance`?"),
    "other column": ("distance: delay * 2", "distance.expression", "does not read distance"),
    "no condition": ("distance: {null_if: 1 = 2}", "distance.null_if", "reads no column"),
    "unknown unit": ("distance: {unit: {from: miles, to: metre}}", "distance.unit.from", "Did you mean `mile`?"),
    "one unit": ("distance: {unit: {to: metre}}", "distance", "unit needs from and to"),
    "two quantities": ("distance: {unit: {from: mile, to: knot}}", "distance.unit", "units of one quantity"),
    "same unit": ("distance: {unit: {from: mile, to: mile}}", "distance.unit", "what it is already"),
    "unit of a text": ("carrier: {unit: {from: mile, to: metre}}", "carrier.unit", "Add `type: number`"),
    "clipped text": ("carrier: {clip: [0, 1]}", "carrier.clip", "Add `type: number`"),
    "clip with one end": ("distance: {clip: [0]}", "distance", "low and a high end"),
    "same type": ("distance: {type: number}", "distance.type", "has the type number already"),
    "leak": ("distance: {null_if: delay > 3}", "", "it reads 'delay', from which the label is made"),
}


@pytest.mark.parametrize("case", BAD_COLUMNS)
def test_a_bad_column_names_key_and_cure(case: str, write: Write) -> None:
    text, key, words = BAD_COLUMNS[case]
    path = write((FEATURES, f"clean:\n  columns:\n    {text}\n{FEATURES}"))
    assert words in said_of(path, f"clean.columns.{key}" if key else "features.distance")
    with pytest.raises(DefinitionError) as caught:
        load_definition(path)
    assert len(caught.value.problems) == 1, str(caught.value)


def test_cleaned_columns_stand_in_features_and_label(write: Write) -> None:
    columns = (
        "clean:\n  columns:\n"
        "    distance: {null_if: distance < 0, unit: {from: mile, to: kilometre}, clip: [0, 20000]}\n"
        "    carrier: upper(trim(carrier))\n"
        "    delay: {clip: [-60.5, null]}\n"
    )
    definition = load_definition(write((FEATURES, columns + FEATURES)))
    kilometres = '(CAST((CASE WHEN "distance" < 0 THEN NULL ELSE ("distance") END) AS DOUBLE) * 1.609344e0)'
    assert cleaned(definition, "distance").sql == (
        f"((CASE WHEN {kilometres} < 0 THEN 0 WHEN {kilometres} > 20000 THEN 20000 ELSE {kilometres} END))"
    )
    assert cleaned(definition, definition.features["carrier"].expression).sql == '((UPPER(TRIM("carrier"))))'
    delay = '((CASE WHEN ("delay") < (-60.5e0) THEN (-60.5e0) ELSE ("delay") END)) > 15'
    assert cleaned(definition, definition.label.expression).sql == delay
    assert cleaned(definition, "hour(at)") == check_expression("hour(at)")


def test_a_column_reads_the_others_as_the_source_has_them() -> None:
    found = substitute("a + b", (("a", "b * 2"), ("b", "a")))
    assert found.sql == '("b" * 2) + ("a")'


def test_a_feature_that_cleaning_makes_too_long_is_refused() -> None:
    with pytest.raises(ExpressionError, match="with its cleaned columns it is longer than 4000"):
        substitute(" + ".join(["a"] * 60), (("a", " + ".join(["a"] * 20)),))


def test_a_feature_module_gets_columns_as_they_are(write: Write, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("")
    module = "feature_module: {path: mine.py, inputs: [distance], columns: {far: numeric}}\n"
    features = "  distance: distance\n  hour: hour(at)\n  carrier: {expression: carrier, type: category}\n"
    changed = f"clean: {{columns: {{distance: abs(distance)}}}}\n{module}"
    with pytest.raises(DefinitionError, match=r"clean\.columns: .*Clean them in the module"):
        load_definition(write((FEATURES + features, changed)))


@pytest.mark.parametrize(
    ("old", "new", "given", "expected"),
    [
        ("fahrenheit", "celsius", 212.0, 100.0), ("celsius", "fahrenheit", -40.0, -40.0),
        ("fahrenheit", "kelvin", 32.0, 273.15), ("kelvin", "celsius", 273.15, 0.0),
        ("foot", "inch", 2.0, 24.0), ("nautical_mile", "metre", 1.0, 1852.0), ("tonne", "kilogram", 1.5, 1500.0),
        ("ounce", "pound", 16.0, 1.0), ("knot", "kilometre_per_hour", 10.0, 18.52), ("minute", "day", 1440.0, 1.0),
    ],
)  # fmt: skip
def test_units_are_what_they_are_by_definition(old: Unit, new: Unit, given: float, expected: float) -> None:
    [(value,)] = duckdb.sql(f"SELECT {convert_sql(repr(given), old, new)}").fetchall()
    [(back,)] = duckdb.sql(f"SELECT {convert_sql(repr(expected), new, old)}").fetchall()
    assert (value, back) == (pytest.approx(expected, abs=1e-12), pytest.approx(given, abs=1e-9))


@given(value=st.floats(allow_nan=False, width=32), units=st.permutations(get_args(Unit)))
def test_every_unit_leads_to_the_others_of_its_quantity_and_back(value: float, units: list[Unit]) -> None:
    old = units[0]
    new = next(unit for unit in units[1:] if quantity(unit) == quantity(old))
    back = convert_sql(convert_sql("x", old, new), new, old)
    [(found,)] = CONNECTION.execute(f"SELECT {back} FROM (SELECT CAST(? AS DOUBLE) AS x)", [value]).fetchall()
    assert found == pytest.approx(value, rel=1e-12, abs=1e-9)


CONNECTION = duckdb.connect()


@pytest.mark.parametrize(
    ("rule", "key", "words"),
    [
        ("{}", "duplicates.keep", "Add `keep`"),
        ("{keep: newest}", "duplicates.keep", "The values are: first, last"),
        ("{keep: last, order_by: delai}", "duplicates.order_by", "Did you mean `delay`?"),
        ("{keep: last, order_by: id}", "duplicates.order_by", "is of the entity"),
    ],
)
def test_a_bad_rule_for_duplicates_names_key_and_cure(rule: str, key: str, words: str, write: Write) -> None:
    with pytest.raises(DefinitionError) as caught:
        load_definition(write((FEATURES, f"clean:\n  duplicates: {rule}\n{FEATURES}")))
    [said] = [f"{one.what}. {one.cure}" for one in caught.value.problems if one.key == f"clean.{key}"]
    assert words in said


def test_a_good_rule_for_duplicates_loads(write: Write) -> None:
    rule = load_definition(write((FEATURES, f"clean: {{duplicates: {{keep: last, order_by: delay}}}}\n{FEATURES}")))
    assert rule.clean.duplicates is not None
    assert (rule.clean.duplicates.keep, rule.clean.duplicates.order_by) == ("last", "delay")
