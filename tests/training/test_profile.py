from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from include.training.profile import TOP_CATEGORIES, count_like, make_profile, merge, profile_column


def test_deciles_hold_a_tenth_each_and_nulls_are_counted_apart() -> None:
    values = np.append(np.arange(1000.0), [np.nan, np.inf])
    made = profile_column(values, "numeric")
    assert len(made["edges"]) == 9
    assert made["counts"] == [100] * 10
    assert made["missing"] == 2


def test_repeated_values_share_a_bin() -> None:
    made = profile_column([0.0] * 90 + [1.0] * 10, "numeric")
    assert made["edges"] == [0.0]
    assert made["counts"] == [90, 10]


def test_values_beyond_all_edges_fall_into_the_outer_bins() -> None:
    reference = profile_column(np.arange(100.0), "numeric")
    counted = count_like(reference, [-1e300, 1e300, None])
    assert (counted["counts"][0], counted["counts"][-1], sum(counted["counts"]), counted["missing"]) == (1, 1, 2, 1)


def test_rare_and_unseen_categories_are_other() -> None:
    values = [f"c{i:02}" for i in range(TOP_CATEGORIES + 5) for _ in range(50 - i)] + [None]
    made = profile_column(pd.Series(values), "category")
    assert len(made["values"]) == TOP_CATEGORIES
    assert made["values"] == sorted(made["values"])
    assert sum(made["counts"]) + made["other"] + made["missing"] == len(values)
    assert count_like(made, ["never seen", "c00"])["other"] == 1


def test_booleans_are_counted_as_false_and_true() -> None:
    assert profile_column([True, False, None, True], "boolean") == {"type": "boolean", "counts": [1, 2], "missing": 1}


def test_counts_of_days_add_up_to_the_counts_of_all() -> None:
    frame = pd.DataFrame({"n": np.arange(50.0), "c": ["a", "b"] * 25})
    for name, kind in (("n", "numeric"), ("c", "category")):
        whole = profile_column(frame[name], kind)  # type: ignore[arg-type]
        days = [count_like(whole, frame[name][:20]), count_like(whole, frame[name][20:])]
        assert merge(*days) == whole
    with pytest.raises(ValueError, match="same bins"):
        merge(profile_column([1.0, 2.0], "numeric"), profile_column([5.0, 6.0], "numeric"))


def test_the_order_of_rows_and_empty_columns_leave_json_that_is_the_same() -> None:
    frame = pd.DataFrame(
        {
            "feature_n": [3.0, 1.0, 2.0],
            "feature_c": ["b", "a", "b"],
            "feature_e": [None] * 3,
            "feature_b": [True, None, False],
        }
    )
    types = {"n": "numeric", "c": "category", "e": "category", "b": "boolean"}
    made = [
        json.dumps(
            make_profile(f, types, predictions=np.array([0.5]), labels=[1.0], task="binary_classification"),
            allow_nan=False,
        )  # type: ignore[arg-type]
        for f in (frame, frame[::-1])
    ]
    assert made[0] == made[1]
    assert json.loads(made[0])["features"]["e"] == {
        "type": "category",
        "values": [],
        "counts": [],
        "other": 0,
        "missing": 3,
    }
