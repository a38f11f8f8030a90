"""The drift verdict: real drift is found, noise and what varies anyway are not, and nothing crashes on real data."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.monitoring.chance import holm, p_categories, p_numbers, p_shares
from include.monitoring.drift import judge_drift
from include.spec.definition import Drift
from include.training.column_profile import Document, count_like, profile_column
from tests.monitoring.factories import Numbers, judge, judge_columns, normal


def names(rows: int, count: int, seed: int = 0) -> pd.Series:
    return pd.Series(np.random.default_rng(seed).integers(0, count, rows)).map("c{}".format)


def test_a_quarter_of_a_deviation_is_drift_and_says_how_much_moved() -> None:
    result = judge(normal(0, 20_000), normal(0.25, 5000, 1))

    assert (result.verdict, result.share) == ("drift", 1)
    assert "f (9% of the rows moved)" in result.reason
    change = result.features[0].change
    assert change is not None
    assert (change.what, change.size) == ("values", pytest.approx(0.1, abs=0.02))


def test_the_same_distribution_is_no_drift() -> None:
    assert judge(normal(0, 20_000), normal(0, 5000, 1)).verdict == "no drift"
    assert judge(names(20_000, 40), names(2000, 40, 1), "category").verdict == "no drift"


def test_a_change_that_does_not_matter_is_no_drift_however_sure_it_is() -> None:
    result = judge(normal(0, 200_000), normal(0.05, 200_000, 1))

    assert result.features[0].changes[0].p < 1e-6
    assert result.verdict == "no drift"
    assert judge(normal(0, 200_000), normal(0.05, 200_000, 1), least_change=0.01).verdict == "drift"


def test_a_change_that_may_be_chance_is_no_drift_however_great_it_is() -> None:
    random = np.random.default_rng(4)
    flips = [judge(random.random(400) < 0.5, random.random(110) < 0.5, "boolean") for _ in range(40)]

    assert max(result.features[0].changes[0].size for result in flips) > 0.05
    assert {result.verdict for result in flips} == {"no drift"}


def test_values_missing_now_are_drift() -> None:
    now = normal(0, 2000, 1)
    now[:300] = np.nan
    result = judge(normal(0, 5000), now)

    assert result.verdict == "drift"
    assert "f (missing 0.0% before, 15.0% now)" in result.reason


def test_infinities_count_as_missing() -> None:
    now = normal(0, 2000, 1)
    now[:300] = np.inf

    assert judge(normal(0, 5000), now).features[0].missing_now == pytest.approx(0.15)


def test_unseen_categories_are_drift_and_rare_ones_are_not() -> None:
    many = names(20_000, 1000)

    assert judge(["a", "b"] * 1000, ["a", "b", "new"] * 400, "category").verdict == "drift"
    assert judge(["a", "b"] * 1000, ["b", "a"] * 600, "category").verdict == "no drift"
    assert judge(many, many[:5000], "category").verdict == "no drift"


def test_ten_thousand_categories_are_judged() -> None:
    before, now = names(50_000, 10_000), names(5000, 10_000, 1)

    assert judge(before, now, "category").verdict == "no drift"
    assert judge(before, now.where(now.index % 10 > 0, "other one"), "category").verdict == "drift"


def test_a_boolean_that_turns_is_drift() -> None:
    before = pd.array([True, False] * 1000, dtype="boolean")
    now = pd.array([True] * 900 + [None] * 100, dtype="boolean")

    assert judge(before, now, "boolean").verdict == "drift"


def test_many_categories_in_few_rows_are_not_judged() -> None:
    result = judge(names(5000, 50), names(150, 50), "category")

    assert result.verdict == "not enough data"
    assert result.features[0].drifted is None
    assert result.features[0].changes[0].seen_from > 0.25


def test_a_handful_of_rows_is_never_judged() -> None:
    result = judge(normal(0, 5000), normal(5, 60))

    assert (result.verdict, result.share) == ("not enough data", None)
    assert "60 rows" in result.reason


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (np.full(500, 3.0), np.full(500, 3.0)),
        (np.full(500, np.nan), np.full(500, np.nan)),
        (np.full(500, np.nan), normal(0, 500)),
        (normal(0, 500), np.full(500, np.inf)),
        (np.array([0.0, np.inf, -np.inf] * 200), np.array([np.inf] * 300)),
        (np.array([1e308, -1e308] * 300), np.array([1e308, 5.0] * 300)),
        (normal(0, 500), normal(0, 0)),
        (normal(0, 500), normal(0, 1)),
        (normal(0, 0), normal(0, 500)),
        (normal(0, 0), normal(0, 0)),
    ],
)
def test_constant_missing_infinite_and_empty_columns_give_a_verdict_and_json(before: Numbers, now: Numbers) -> None:
    result = judge(before, now)

    json.dumps([feature.to_document() for feature in result.features], allow_nan=False)
    json.dumps([feature.to_short_document() for feature in result.features], allow_nan=False)


@pytest.mark.parametrize(("value", "verdict"), [(3.0, "no drift"), (9.0, "drift"), (1.0, "drift")])
def test_a_constant_that_stays_is_no_drift_and_one_that_moves_is(value: float, verdict: str) -> None:
    assert judge(np.full(500, 3.0), np.full(500, value)).verdict == verdict


def test_one_drifted_feature_is_drift_unless_a_share_is_asked_for() -> None:
    stable = profile_column(normal(0, 5000), "numeric")
    moved, same = count_like(stable, normal(3, 1000, 2)), count_like(stable, normal(0, 1000, 3))
    features = ["a", "b", "c", "d"]

    def verdict(drifted: int, **limits: Any) -> str:
        current = {name: moved if index < drifted else same for index, name in enumerate(features)}
        return judge_columns(dict.fromkeys(features, stable), current, 1000, **limits).verdict

    assert [verdict(0), verdict(1)] == ["no drift", "drift"]
    assert [verdict(drifted, share_of_features=0.5) for drifted in (0, 1, 2)] == ["no drift", "no drift", "drift"]


def test_the_most_drifted_feature_comes_first() -> None:
    stable = profile_column(normal(0, 5000), "numeric")
    current = {"calm": count_like(stable, normal(0, 1000, 3)), "wild": count_like(stable, normal(3, 1000, 2))}
    result = judge_columns({"calm": stable, "wild": stable}, current, 1000)

    assert [feature.name for feature in result.features] == ["wild", "calm"]


def weeks(swing: float, seed: int = 0) -> Document:
    """The profile of a column of 16 weeks whose mean swings from week to week."""
    random = np.random.default_rng(seed)
    stretches = np.repeat(np.arange(16), 1000)
    return profile_column(random.normal(swing * (stretches % 3 - 1), 1), "numeric", stretches=stretches)


def test_what_the_reference_varies_anyway_is_no_drift_and_more_is() -> None:
    calm, swinging = weeks(0.0), weeks(0.5)

    def verdict(reference: Document, mean: float) -> str:
        current = {"f": count_like(reference, normal(mean, 1000, 5))}
        return judge_drift({"f": reference}, current, rows=1000, limits=Drift(), partitions=112, window=7).verdict

    assert (verdict(calm, 0.0), verdict(calm, 0.4)) == ("no drift", "drift")
    assert (verdict(swinging, 0.4), verdict(swinging, 1.5)) == ("no drift", "drift")


def test_a_window_that_shares_nothing_with_the_reference_has_drifted_whatever_is_usual() -> None:
    reference = weeks(20.0)
    current = {"f": count_like(reference, normal(500, 1000, 5))}
    result = judge_drift({"f": reference}, current, rows=1000, limits=Drift(), partitions=112, window=7)

    assert result.verdict == "drift"
    assert result.features[0].changes[0].limit == 1.0


def test_a_long_window_is_held_against_long_stretches() -> None:
    reference = weeks(0.5)
    current = {"f": count_like(reference, normal(0, 1000, 5))}
    limits = [
        judge_drift({"f": reference}, current, rows=1000, limits=Drift(), partitions=112, window=window)
        for window in (7, 21)
    ]
    ordinary = [result.features[0].changes[0].ordinary for result in limits]

    assert ordinary[0] > 0.15
    assert ordinary[1] < 0.05


def test_samples_of_one_distribution_give_even_chances() -> None:
    from scipy.stats import ks_2samp  # type: ignore[import-untyped]

    random = np.random.default_rng(3)
    numbers, categories, shares = [], [], []
    for _ in range(400):
        first, second = (random.multinomial(rows, [0.1] * 10).astype(float) for rows in (4000, 1000))
        numbers.append(p_numbers(first, second))
        categories.append(p_categories(first, second))
        shares.append(p_shares(int(first[0]), 4000, int(second[0]), 1000))

    for found in (categories, shares):
        assert np.mean(np.array(found) < 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(np.array(numbers) < 0.05) <= 0.05
    a, b = normal(0, 2000), normal(0.1, 500, 1)
    edges = np.sort(np.concatenate([a, b]))
    counted = [np.diff(np.searchsorted(np.sort(side), edges, side="right"), prepend=0).astype(float) for side in (a, b)]
    assert p_numbers(*counted) == pytest.approx(ks_2samp(a, b, method="asymp").pvalue, rel=0.1)


def test_holm_multiplies_by_the_tests_that_are_left() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_without_drift_hardly_any_window_alarms() -> None:
    random = np.random.default_rng(8)
    reference = {f"f{place}": profile_column(random.normal(size=5000), "numeric") for place in range(12)}
    alarms = 0
    for _ in range(60):
        current = {name: count_like(profile, random.normal(size=300)) for name, profile in reference.items()}
        alarms += judge_columns(reference, current, 300).verdict == "drift"

    assert alarms <= 2


def test_a_reason_says_whether_the_share_of_drifted_features_is_enough() -> None:
    moved, calm = profile_column(normal(0, 3000), "numeric"), profile_column(normal(0, 3000, 1), "numeric")
    current = {"moved": count_like(moved, normal(2, 3000, 2)), "calm": count_like(calm, normal(0, 3000, 3))}
    few, enough = (
        judge_columns({"moved": moved, "calm": calm}, current, 3000, share_of_features=share) for share in (0.6, 0.5)
    )

    assert (few.verdict, enough.verdict) == ("no drift", "drift")
    assert few.reason.startswith("1 of 2 features drifted, fewer than the 60% that would be drift: moved (")
    assert enough.reason.startswith("1 of 2 features drifted, at least the 50% that would be drift: moved (")
