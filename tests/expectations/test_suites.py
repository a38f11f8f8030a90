"""Every expectation of every suite: data broken in just its way is refused (critical) or reported (warning)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.gates import STAGES, Expectation, Suite, check_columns, load_suite, stage_columns
from include.gates.engine import Evaluator
from include.settings import Settings
from include.spec.loader import find_definition

Frames = Callable[[str], dict[str, pd.DataFrame]]
SETTINGS = Settings.from_environment({})
SUITES = sorted((path.parent.name, path.stem) for path in SETTINGS.expectations.glob("*/*.json"))
SAMPLE_DAY = {
    "flight_delay": "2013-03-05", "flight_outcome": "2013-03-05", "bike_demand": "2012-05-09",
    "airport_temperature": "2013-07-10T15", "tumor_malignant": "all",
}  # fmt: skip
ODD_DAYS = {
    "flight_delay": ["2013-01-01", "2013-02-08", "2013-02-09", "2013-03-08", "2013-09-12", "2013-10-02", "2013-11-03",
                     "2013-11-28", "2013-12-17", "2013-12-31"],
    "flight_outcome": ["2013-01-01", "2013-02-08", "2013-02-09", "2013-03-08", "2013-11-28", "2013-12-31"],
    "bike_demand": ["2011-01-01", "2011-01-18", "2011-01-27", "2011-03-10", "2011-08-12", "2011-10-29", "2012-04-21",
                    "2012-10-29", "2012-10-30", "2012-12-26", "2012-12-31"],
}  # fmt: skip
"""Days with the fewest rows, storms, missing weather, a dead sensor, the most and the fewest late flights."""


@lru_cache
def evaluator(model: str, stage: str) -> tuple[Suite, Evaluator]:
    suite = load_suite(SETTINGS, model, stage)
    return suite, Evaluator(suite)


def sample(all_frames: Frames, model: str, stage: str) -> pd.DataFrame:
    frame = all_frames(model)[stage]
    return frame if stage in ("training", "predictions") else frame[frame.partition == SAMPLE_DAY[model]]


def replaced(frame: pd.DataFrame, column: str, value: Any, rows: int | None = None) -> pd.DataFrame:
    """The frame with a value in all rows, or in the first ones."""
    broken = frame.copy()
    if rows is None:
        broken[column] = value
    else:
        broken[column] = broken[column].astype(object)
        broken.iloc[:rows, broken.columns.get_loc(column)] = value
        broken[column] = broken[column].infer_objects()
    return broken


def too_many(expectation: Expectation, frame: pd.DataFrame) -> int:
    """One row more than the expectation tolerates."""
    return round((1 - expectation.kwargs.get("mostly", 1)) * len(frame)) + 1


def break_row_count(expectation: Expectation, frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    if "min_value" in expectation.kwargs:
        yield frame.head(max(0, expectation.kwargs["min_value"] - 1))
    if "max_value" in expectation.kwargs:
        copies = expectation.kwargs["max_value"] // len(frame) + 1
        yield pd.concat([frame] * copies, ignore_index=True).head(expectation.kwargs["max_value"] + 1)


def break_null(expectation: Expectation, frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    yield replaced(frame, expectation.columns[0], None, too_many(expectation, frame))


def break_between(expectation: Expectation, frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    column, rows = expectation.columns[0], too_many(expectation, frame)
    values = frame[column].to_numpy(dtype=float, na_value=np.nan)
    for key, step in (("min_value", -1), ("max_value", 1)):
        if key in expectation.kwargs:
            broken = values.copy()
            broken[:rows] = expectation.kwargs[key] + step
            yield frame.assign(**{column: broken})


def break_set(expectation: Expectation, frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    value = "never heard of" if isinstance(expectation.kwargs["value_set"][0], str) else -77
    yield replaced(frame, expectation.columns[0], value, too_many(expectation, frame))


def break_contained(expectation: Expectation, frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    for value in expectation.kwargs["value_set"]:
        yield frame[frame[expectation.columns[0]] != value]


def break_equal_set(expectation: Expectation, frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    yield from break_contained(expectation, frame)
    yield replaced(frame, expectation.columns[0], "never heard of", 1)


def break_regex(expectation: Expectation, frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    yield replaced(frame, expectation.columns[0], " ;--", too_many(expectation, frame))


def break_twins(expectation: Expectation, frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    yield pd.concat([frame, frame.tail(1)], ignore_index=True)


def break_number(expectation: Expectation, frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """A mean, smallest or largest value out of range: all rows have a number outside it."""
    for key, step in (("min_value", -1), ("max_value", 1)):
        if key in expectation.kwargs:
            yield replaced(frame, expectation.columns[0], float(expectation.kwargs[key] + step))


def break_constant(expectation: Expectation, frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    yield replaced(frame, expectation.columns[0], frame[expectation.columns[0]].dropna().iloc[0])


BREAKERS: dict[str, Callable[[Expectation, pd.DataFrame], Iterator[pd.DataFrame]]] = {
    "expect_table_row_count_to_be_between": break_row_count,
    "expect_column_values_to_not_be_null": break_null,
    "expect_column_values_to_be_between": break_between,
    "expect_column_values_to_be_in_set": break_set,
    "expect_column_distinct_values_to_contain_set": break_contained,
    "expect_column_distinct_values_to_equal_set": break_equal_set,
    "expect_column_values_to_match_regex": break_regex,
    "expect_column_values_to_be_unique": break_twins,
    "expect_compound_columns_to_be_unique": break_twins,
    "expect_column_mean_to_be_between": break_number,
    "expect_column_stdev_to_be_between": break_constant,
    "expect_column_unique_value_count_to_be_between": break_constant,
}


def test_every_model_has_a_suite_for_every_stage() -> None:
    models = {path.stem for path in SETTINGS.models.glob("*.yaml")}
    assert {(model, stage) for model in models for stage in STAGES} <= set(SUITES)


@pytest.mark.parametrize(("model", "stage"), SUITES)
def test_the_suite_names_only_columns_that_its_stage_has(model: str, stage: str) -> None:
    suite = load_suite(SETTINGS, model, stage)
    check_columns(suite, stage_columns(find_definition(SETTINGS, model), suite.stage))


@pytest.mark.parametrize(("model", "stage"), SUITES)
def test_sound_data_passes_without_a_warning(all_frames: Frames, model: str, stage: str) -> None:
    result = evaluator(model, stage)[1].judge(sample(all_frames, model, stage), subject="sample")
    assert [check.expected for check in result.checks if not check.success] == []


@pytest.mark.parametrize(("model", "stage"), SUITES)
def test_each_expectation_stops_or_reports_data_that_is_broken_in_its_way(
    all_frames: Frames, model: str, stage: str
) -> None:
    suite, judge = evaluator(model, stage)
    frame = sample(all_frames, model, stage)
    frame = frame[[column for column in suite.columns if column in frame]]
    sound = dict(enumerate(judge.judge(frame, subject="sound").checks))
    for number, expectation in enumerate(suite.expectations):
        assert expectation.type in BREAKERS, f"{expectation.type} needs a breaker in this test"
        broken_frames = list(BREAKERS[expectation.type](expectation, frame))
        assert broken_frames, expectation.label
        for broken in broken_frames:
            others = {other: check for other, check in sound.items() if other != number}
            result = judge.judge(broken, subject="broken", known=others)
            assert not result.checks[number].success, f"{expectation.label} {expectation.kwargs} let it pass"
            if expectation.severity == "critical":
                assert result.verdict == "refused"
            else:
                assert result.checks[number] in result.warnings


@pytest.mark.parametrize("stage", ["raw", "features"])
@pytest.mark.parametrize("model", sorted(ODD_DAYS))
def test_true_but_odd_days_are_not_refused(all_frames: Frames, model: str, stage: str) -> None:
    frame = all_frames(model)[stage]
    judge = evaluator(model, stage)[1]
    refused = {}
    for day in ODD_DAYS[model]:
        result = judge.judge(frame[frame.partition == day], subject=day)
        if result.verdict == "refused":
            refused[day] = result.reason
    assert refused == {}


def test_a_model_that_always_says_the_same_is_refused(all_frames: Frames) -> None:
    frame = sample(all_frames, "flight_delay", "predictions").assign(prediction=0.23)
    result = evaluator("flight_delay", "predictions")[1].judge(frame, subject="constant")
    assert "the standard deviation of prediction is at least 0.005" in [c.expected for c in result.critical_failures]
