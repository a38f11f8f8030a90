"""What evaluating a suite says: severity decides, rows are shown, and a broken gate is no verdict."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.errors import Refused
from include.gates import GateBroken, GateResult, Suite, evaluate, read_suite
from include.gates.checks import SAMPLES
from include.gates.engine import Evaluator
from include.gates.plain import to_plain
from include.gates.vocabulary import FORMS

MakeSuite = Callable[..., Suite]


@pytest.fixture
def suite_of(tmp_path: Path) -> MakeSuite:
    def make(*items: tuple[str, dict[str, Any]], severity: str = "critical") -> Suite:
        expectations = [
            {"type": f"expect_{kind}", "kwargs": kwargs, "severity": severity, "meta": {"notes": "It matters."}}
            for kind, kwargs in items
        ]
        path = tmp_path / "suite.json"
        path.write_text(json.dumps({"name": "m.raw", "expectations": expectations}))
        return read_suite(path, "raw")

    return make


def flights(rows: int = 40) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "flight": np.arange(rows),
            "at": pd.date_range("2013-03-01", periods=rows, freq="min"),
            "origin": pd.Series(["JFK", "LGA"] * (rows // 2), dtype="str"),
            "delay": np.where(np.arange(rows) % 4 == 0, np.nan, np.arange(rows) * 1.0),
        }
    )


def judge(suite: Suite, frame: pd.DataFrame) -> GateResult:
    result = evaluate(suite, frame, subject="2013-03-01", identify=["flight", "at"])
    json.dumps(result.to_document(), allow_nan=False)
    return result


def test_a_critical_failure_refuses_and_shows_the_entity_and_the_bad_value(suite_of: MakeSuite) -> None:
    result = judge(suite_of(("column_values_to_be_between", {"column": "delay", "max_value": 37})), flights())
    assert result.verdict == "refused"
    [check] = result.checks
    assert (check.unexpected, check.judged) == (2, 30)
    assert list(check.samples) == [
        {"flight": 38, "at": "2013-03-01T00:38:00", "delay": 38.0},
        {"flight": 39, "at": "2013-03-01T00:39:00", "delay": 39.0},
    ]
    assert result.reason == "Expected: delay is at most 37; found: 2 of 30 rows do not (6.67 %)."


def test_a_warning_is_reported_and_does_not_refuse(suite_of: MakeSuite) -> None:
    suite = suite_of(("column_values_to_be_between", {"column": "delay", "max_value": 37}), severity="warning")
    result = judge(suite, flights())
    assert result.verdict == "passed"
    assert len(result.warnings) == 1


def test_a_brief_verdict_shows_rows_of_what_refuses_only(suite_of: MakeSuite) -> None:
    item = ("column_values_to_be_between", {"column": "delay", "max_value": 37})
    for severity, shown in (("critical", 2), ("warning", 0)):
        suite = suite_of(item, severity=severity)
        [check] = Evaluator(suite).judge(flights(), subject="2013-03-01", identify=["flight"], brief=True).checks
        assert (check.success, check.unexpected, len(check.samples)) == (False, 2, shown)


def test_rows_are_shown_of_a_frame_whose_every_row_is_wrong_without_looking_at_each(
    suite_of: MakeSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pandas.core.indexing import _AtIndexer

    def cell(*_: object) -> None:
        raise AssertionError("single cells are read")

    monkeypatch.setattr(_AtIndexer, "__getitem__", cell)
    frame = flights(2000)
    [check] = judge(suite_of(("column_values_to_be_between", {"column": "flight", "max_value": -1})), frame).checks
    assert check.unexpected == 2000
    assert [row["flight"] for row in check.samples] == list(range(SAMPLES))


def test_mostly_tolerates_as_many_rows_as_it_says(suite_of: MakeSuite) -> None:
    frame = flights()
    assert (
        judge(suite_of(("column_values_to_not_be_null", {"column": "delay", "mostly": 0.75})), frame).checks[0].success
    )
    assert (
        not judge(suite_of(("column_values_to_not_be_null", {"column": "delay", "mostly": 0.76})), frame)
        .checks[0]
        .success
    )


def test_missing_values_are_shown_as_missing(suite_of: MakeSuite) -> None:
    [check] = judge(suite_of(("column_values_to_not_be_null", {"column": "delay"})), flights()).checks
    assert (check.unexpected, check.judged, check.samples[0]["delay"]) == (10, 40, None)


def test_at_most_twenty_rows_are_shown(suite_of: MakeSuite) -> None:
    [check] = judge(
        suite_of(("column_values_to_be_in_set", {"column": "origin", "value_set": ["X"]})), flights(200)
    ).checks
    assert check.unexpected == 200
    assert len(check.samples) == SAMPLES


def test_twin_rows_are_shown_with_all_their_columns(suite_of: MakeSuite) -> None:
    frame = flights().assign(flight=lambda f: f.flight.replace({1: 3}), at=pd.Timestamp("2013-03-01"))
    [check] = judge(suite_of(("compound_columns_to_be_unique", {"column_list": ["flight", "at"]})), frame).checks
    assert [row["flight"] for row in check.samples] == [3, 3]
    assert check.unexpected == 2


def test_sets_say_which_values_are_missing_or_too_many(suite_of: MakeSuite) -> None:
    contain = ("column_distinct_values_to_contain_set", {"column": "origin", "value_set": ["JFK", "EWR"]})
    within = ("column_distinct_values_to_be_in_set", {"column": "origin", "value_set": ["JFK"]})
    result = judge(suite_of(contain, within), flights())
    assert [check.found for check in result.checks] == ["missing: EWR", "unexpected: LGA"]


def test_a_missing_column_refuses_the_data_even_if_only_a_warning_names_it(suite_of: MakeSuite) -> None:
    suite = suite_of(("column_values_to_not_be_null", {"column": "origin"}), severity="warning")
    result = judge(suite, flights().drop(columns="origin"))
    assert result.verdict == "refused"
    assert result.checks[0].found == "the column origin is missing"


def test_other_expectations_are_still_judged_when_a_column_is_missing(suite_of: MakeSuite) -> None:
    rows, column = ("table_row_count_to_be_between", {"min_value": 1}), ("column_values_to_be_unique", {"column": "no"})
    assert [check.success for check in judge(suite_of(rows, column), flights()).checks] == [True, False]


@pytest.mark.parametrize("frame", [flights(0), flights(2).assign(delay=np.nan)])
def test_no_rows_or_no_values_are_judged_and_do_not_break_the_gate(suite_of: MakeSuite, frame: pd.DataFrame) -> None:
    suite = suite_of(
        ("table_row_count_to_be_between", {"min_value": 1}),
        ("column_mean_to_be_between", {"column": "delay", "min_value": 0}),
        ("column_stdev_to_be_between", {"column": "delay", "min_value": 0}),
        ("column_values_to_be_between", {"column": "delay", "min_value": 0}),
        ("compound_columns_to_be_unique", {"column_list": ["flight", "at"]}),
    )
    result = judge(suite, frame)
    assert result.verdict == "refused"
    assert not result.checks[1].success


def test_an_expectation_that_cannot_be_evaluated_is_neither_passed_nor_refused(suite_of: MakeSuite) -> None:
    rows = ("table_row_count_to_be_between", {"min_value": 1})
    mean = ("column_mean_to_be_between", {"column": "origin", "min_value": 0})
    with pytest.raises(GateBroken, match=r"column_mean.*on origin.*says nothing about the data") as caught:
        judge(suite_of(rows, mean), flights())
    assert not isinstance(caught.value, Refused)
    assert caught.value.exit_code == 1


def test_one_evaluator_judges_many_frames_each_alone(suite_of: MakeSuite) -> None:
    suite = suite_of(("column_values_to_be_between", {"column": "delay", "max_value": 37}))
    evaluator = Evaluator(suite)
    frames = [flights(), flights(20), flights(), flights(20).drop(columns="delay"), flights(20)]
    verdicts = [evaluator.judge(frame, subject=str(n)).verdict for n, frame in enumerate(frames)]
    assert verdicts == ["refused", "passed", "refused", "refused", "passed"]


def test_the_vocabulary_says_what_great_expectations_says() -> None:
    """Every type exists there; no argument is unknown there, and none that is needed there is left out."""
    from great_expectations.expectations.registry import get_expectation_impl

    for kind, form in FORMS.items():
        fields = get_expectation_impl(kind).__fields__
        assert set(form.arguments) <= set(fields), kind
        assert {name for name, field in fields.items() if field.required} <= set(form.required), kind


def test_planning_once_gives_what_great_expectations_gives_by_its_public_way(suite_of: MakeSuite) -> None:
    import great_expectations as gx
    from great_expectations.core.expectation_suite import ExpectationSuite

    items: list[tuple[str, dict[str, Any]]] = [
        ("table_row_count_to_be_between", {"min_value": 1, "max_value": 39}),
        ("table_row_count_to_equal", {"value": 40}),
        ("column_to_exist", {"column": "delay"}),
        ("column_values_to_not_be_null", {"column": "delay"}),
        ("column_values_to_be_null", {"column": "delay", "mostly": 0.25}),
        ("column_values_to_be_unique", {"column": "flight"}),
        ("column_values_to_be_between", {"column": "delay", "min_value": 5, "strict_min": True}),
        ("column_values_to_be_in_set", {"column": "origin", "value_set": ["JFK"], "mostly": 0.5}),
        ("column_values_to_not_be_in_set", {"column": "origin", "value_set": ["JFK"]}),
        ("column_value_lengths_to_be_between", {"column": "origin", "min_value": 3, "max_value": 3}),
        ("column_values_to_match_regex", {"column": "origin", "regex": "^J"}),
        ("column_values_to_not_match_regex", {"column": "origin", "regex": "^X"}),
        ("column_pair_values_a_to_be_greater_than_b", {"column_A": "flight", "column_B": "delay", "or_equal": True}),
        ("column_pair_values_to_be_equal", {"column_A": "flight", "column_B": "delay"}),
        ("compound_columns_to_be_unique", {"column_list": ["origin", "delay"]}),
        *((f"column_{name}_to_be_between", {"column": "delay", "min_value": 1, "max_value": 30})
          for name in ("mean", "median", "stdev", "min", "max", "sum", "unique_value_count")),
        *((f"column_proportion_of_{name}_values_to_be_between", {"column": "delay", "min_value": 0.7, "max_value": 0.8})
          for name in ("unique", "non_null")),
        *((f"column_distinct_values_to_{name}_set", {"column": "origin", "value_set": ["JFK", "LGA"]})
          for name in ("be_in", "contain", "equal")),
    ]  # fmt: skip
    assert {f"expect_{kind}" for kind, _ in items} == set(FORMS)
    frame = flights()
    ours = judge(suite_of(*items), frame)
    context = gx.get_context(mode="ephemeral")
    batch = context.data_sources.add_pandas("p").add_dataframe_asset("a").add_batch_definition_whole_dataframe("b")
    document = [{"type": f"expect_{kind}", "kwargs": kwargs} for kind, kwargs in items]
    theirs = batch.get_batch({"dataframe": frame}).validate(ExpectationSuite(name="s", expectations=document))
    by_kind = {result.expectation_config.type: result for result in theirs.results}
    for check in ours.checks:
        other = by_kind[check.type]
        assert check.success == other.success, check.type
        if check.unexpected is not None:
            assert check.unexpected == other.result["unexpected_count"], check.type
            assert len(check.samples) == (0 if check.success else min(check.unexpected, SAMPLES)), check.type
        elif "observed_value" in other.result and check.observed is not None:
            assert check.observed == to_plain(other.result["observed_value"]), check.type


def test_values_of_numpy_and_pandas_become_json() -> None:
    numbers = {"a": np.float64("nan"), "b": np.int64(3), "c": np.bool_(True), "d": np.array([1.5, np.inf])}
    others = {"e": pd.NaT, "f": pd.Timestamp("2013-01-01"), "g": pd.NA, "h": (1, {"x"}), 5: None}
    plain = to_plain(numbers | others)
    assert plain == {
        "a": None,
        "b": 3,
        "c": True,
        "d": [1.5, None],
        "e": None,
        "f": "2013-01-01T00:00:00",
        "g": None,
        "h": [1, ["x"]],
        "5": None,
    }
    json.dumps(plain, allow_nan=False)
