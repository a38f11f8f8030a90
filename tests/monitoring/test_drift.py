"""PSI and the drift verdict: real drift is found, noise is not, and nothing crashes on what real data holds."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.monitoring.drift import DriftResult, judge_drift
from include.monitoring.psi import bins_of, expected_by_chance, psi
from include.spec.definition import Drift, FeatureType
from include.training.profile import count_like, profile_column

LIMITS = Drift(psi=0.2, share_of_features=0.5)


def judge(before: Any, now: Any, kind: FeatureType = "numeric") -> DriftResult:
    """The verdict on one feature."""
    reference = profile_column(pd.Series(before), kind)
    return judge_drift({"f": reference}, {"f": count_like(reference, pd.Series(now))}, rows=len(now), limits=LIMITS)


def normal(mean: float, rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1, rows)


def test_equal_shares_are_no_distance() -> None:
    assert psi([10, 20, 30], [10, 20, 30]) == 0
    assert psi([100, 200, 300], [1000, 2000, 3000]) == pytest.approx(0, abs=1e-4)


def test_psi_equals_its_definition() -> None:
    before, now = np.array([300.5, 700.5]) / 1001, np.array([600.5, 400.5]) / 1001
    assert psi([300, 700], [600, 400]) == pytest.approx(float(((now - before) * np.log(now / before)).sum()))


def test_an_empty_bin_gives_a_finite_distance() -> None:
    assert 1 < psi([1000, 0], [0, 1000]) < math.inf


def test_a_shift_of_one_deviation_is_drift() -> None:
    result = judge(normal(0, 5000), normal(1, 2000, 1))

    assert result.verdict == "drift"
    assert result.share == 1
    assert "f (" in result.reason


def test_the_same_distribution_is_no_drift() -> None:
    assert judge(normal(0, 5000), normal(0, 2000, 1)).verdict == "no drift"


def test_values_missing_now_are_drift() -> None:
    now = normal(0, 2000, 1)
    now[:600] = np.nan
    result = judge(normal(0, 5000), now)

    assert result.verdict == "drift"
    assert result.features[0].missing_now == pytest.approx(0.3)


def test_unseen_categories_are_drift() -> None:
    assert judge(["a", "b"] * 1000, ["a", "b", "new"] * 400, "category").verdict == "drift"
    assert judge(["a", "b"] * 1000, ["b", "a"] * 600, "category").verdict == "no drift"


def test_a_boolean_that_turns_is_drift() -> None:
    before, now = (
        pd.array([True, False] * 1000, dtype="boolean"),
        pd.array([True] * 900 + [None] * 100, dtype="boolean"),
    )

    assert judge(before, now, "boolean").verdict == "drift"


def test_many_rare_categories_in_few_rows_are_not_judged() -> None:
    names = [f"c{index % 28}" for index in range(5000)]
    result = judge(names, names[:150], "category")

    assert result.verdict == "not enough data"
    assert result.features[0].drifted is None
    assert result.features[0].chance > 0.1  # type: ignore[operator]


def test_a_handful_of_rows_is_never_judged() -> None:
    result = judge(normal(0, 5000), normal(5, 60))

    assert result.verdict == "not enough data"
    assert result.share is None
    assert "60 rows" in result.reason


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (np.full(500, 3.0), np.full(500, 3.0)),
        (np.full(500, np.nan), np.full(500, np.nan)),
        (np.full(500, np.nan), normal(0, 500)),
        (normal(0, 500), np.full(500, np.inf)),
        (np.array([0.0, np.inf, -np.inf] * 200), np.array([np.inf] * 300)),
        (normal(0, 500), normal(0, 0)),
        (normal(0, 0), normal(0, 500)),
        (normal(0, 0), normal(0, 0)),
    ],
)
def test_constant_missing_infinite_and_empty_columns_give_a_verdict_and_json(
    before: np.ndarray, now: np.ndarray
) -> None:
    result = judge(before, now)

    json.dumps([feature.to_document() for feature in result.features], allow_nan=False)


def test_a_constant_that_stays_is_no_drift_and_one_that_moves_is() -> None:
    assert judge(np.full(500, 3.0), np.full(500, 3.0)).verdict == "no drift"
    assert judge(np.full(500, 3.0), np.full(500, 9.0)).verdict == "drift"


def test_the_share_of_features_decides() -> None:
    stable, moved = (
        profile_column(normal(0, 5000), "numeric"),
        count_like(profile_column(normal(0, 5000), "numeric"), normal(3, 1000, 2)),
    )
    same = count_like(stable, normal(0, 1000, 3))
    names = ["a", "b", "c", "d"]

    def verdict(drifted: int) -> str:
        current = {name: moved if index < drifted else same for index, name in enumerate(names)}
        return judge_drift(dict.fromkeys(names, stable), current, rows=1000, limits=LIMITS).verdict

    assert [verdict(0), verdict(1), verdict(2)] == ["no drift", "no drift", "drift"]


def test_features_come_by_falling_distance() -> None:
    stable = profile_column(normal(0, 5000), "numeric")
    current = {"calm": count_like(stable, normal(0, 1000, 3)), "wild": count_like(stable, normal(3, 1000, 2))}
    result = judge_drift({"calm": stable, "wild": stable}, current, rows=1000, limits=LIMITS)

    assert [feature.name for feature in result.features] == ["wild", "calm"]


def test_chance_explains_the_distance_between_samples_of_one_distribution() -> None:
    reference = profile_column(normal(0, 3000), "numeric")
    found, expected = [], []
    for seed in range(100):
        bins = bins_of(reference, count_like(reference, normal(0, 400, seed + 10)))
        before, now = [one.reference for one in bins], [one.current for one in bins]
        found.append(psi(before, now))
        expected.append(expected_by_chance(before, now))

    assert np.mean(found) == pytest.approx(np.mean(expected), rel=0.25)
