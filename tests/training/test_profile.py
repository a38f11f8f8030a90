from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.spec.definition import FeatureType
from include.training.column_profile import (
    BINS,
    TOP_CATEGORIES,
    count_like,
    from_vector,
    merge,
    profile_column,
    to_vector,
)
from include.training.profile import MOST_STRETCHES, make_profile


def test_the_bins_hold_equal_shares_and_nulls_and_infinities_are_counted_apart() -> None:
    made = profile_column(np.append(np.arange(3200.0), [np.nan, np.inf, -np.inf]), "numeric")

    assert made["counts"] == [0, *[100] * BINS, 0]
    assert (made["missing"], made["not_finite"], made["mean"]) == (1, 2, 1599.5)
    assert made["sd"] == pytest.approx(np.arange(3200.0).std())


def test_repeated_values_share_a_bin() -> None:
    made = profile_column([0.0] * 90 + [1.0] * 10, "numeric")

    assert made["edges"][1:] == [0.0, 1.0]
    assert made["counts"] == [0, 90, 10, 0]


def test_values_beyond_what_was_profiled_fall_into_bins_that_were_empty() -> None:
    reference = profile_column(np.arange(100.0), "numeric")
    counted = count_like(reference, [-1e-9, 99.1, 1e300, None])

    assert (reference["counts"][0], reference["counts"][-1]) == (0, 0)
    assert (counted["counts"][0], counted["counts"][-1], sum(counted["counts"]), counted["missing"]) == (1, 2, 3, 1)


def test_rare_categories_are_other_and_those_never_seen_are_unseen() -> None:
    values = [f"c{i:02}" for i in range(TOP_CATEGORIES + 5) for _ in range(70 - i)] + [None]
    made = profile_column(pd.Series(values), "category")

    assert len(made["values"]) == TOP_CATEGORIES
    assert made["rare"] == [f"c{i}" for i in range(TOP_CATEGORIES, TOP_CATEGORIES + 5)]
    assert sum(to_vector(made)) == len(values)
    counted = count_like(made, ["never seen", "c00", "c53", None])
    assert (sum(counted["counts"]), counted["other"], counted["unseen"], counted["missing"]) == (1, 1, 1, 1)


def test_booleans_are_counted_as_false_and_true() -> None:
    assert profile_column([True, False, None, True], "boolean") == {"type": "boolean", "counts": [1, 2], "missing": 1}


@pytest.mark.parametrize(("column", "kind"), [("n", "numeric"), ("c", "category"), ("b", "boolean")])
def test_counts_of_days_add_up_to_the_counts_of_all(column: str, kind: FeatureType) -> None:
    frame = pd.DataFrame({"n": np.arange(50.0), "c": ["a", "b"] * 25, "b": [True, None] * 25})
    whole = profile_column(frame[column], kind)

    assert merge(count_like(whole, frame[column][:20]), count_like(whole, frame[column][20:])) == whole


def test_counts_over_other_bins_are_not_added() -> None:
    with pytest.raises(ValueError, match="same bins"):
        merge(profile_column([1.0, 2.0], "numeric"), profile_column([5.0, 6.0], "numeric"))


@pytest.mark.parametrize("extreme", [1.7976931348623157e308, -1.7976931348623157e308, 5e-324, 0.0])
def test_extreme_numbers_leave_a_profile_that_is_json(extreme: float) -> None:
    made = profile_column([extreme, 0.0, -extreme, np.inf], "numeric")

    json.dumps(made, allow_nan=False)
    assert sum(made["counts"]) == 3


def profiled(frame: pd.DataFrame, **changes: Any) -> dict[str, Any]:
    types: dict[str, FeatureType] = {"n": "numeric", "c": "category", "e": "category", "b": "boolean"}
    answers: dict[str, Any] = {"predictions": np.array([0.5]), "labels": [1.0], "task": "binary_classification"}
    return make_profile(frame, {name: kind for name, kind in types.items() if f"feature_{name}" in frame}, **answers)


def test_the_order_of_rows_and_empty_columns_leave_json_that_is_the_same() -> None:
    frame = pd.DataFrame(
        {
            "feature_n": [0.1, 0.7, 0.2],
            "feature_c": ["b", "a", "b"],
            "feature_e": [None] * 3,
            "feature_b": [True, None, False],
        }
    )
    made = [json.dumps(profiled(one), allow_nan=False) for one in (frame, frame[::-1])]

    assert made[0] == made[1]
    empty = json.loads(made[0])["features"]["e"]
    assert (empty["values"], empty["counts"], empty["missing"]) == ([], [], 3)


def test_stretches_of_time_hold_whole_partitions_and_add_up() -> None:
    days = [f"2013-01-{1 + place // 10:02}" for place in range(310)]
    made = profiled(pd.DataFrame({"feature_n": np.arange(310.0), "partition": days}))
    column = made["features"]["n"]

    assert made["partitions"] == 31
    assert len(column["stretches"]) == MOST_STRETCHES
    assert {sum(vector) for vector in column["stretches"]} == {10, 20}
    assert np.sum(column["stretches"], axis=0).tolist() == to_vector(column)
    assert from_vector(column, column["stretches"][0])["edges"] == column["edges"]


def test_one_partition_has_no_stretches() -> None:
    made = profiled(pd.DataFrame({"feature_n": [1.0, 2.0], "partition": ["all"] * 2}))

    assert "stretches" not in made["features"]["n"]
