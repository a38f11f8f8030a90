"""The distances are what their definitions say, and finite whatever the columns hold."""

from __future__ import annotations

import math

import numpy as np
import pytest

from include.monitoring.distances import expected_by_chance, jensen_shannon, measure, psi
from include.training.column_profile import count_like, profile_column
from tests.monitoring.factories import Numbers, normal


def test_equal_shares_are_no_distance() -> None:
    assert psi([10, 20, 30], [10, 20, 30]) == 0
    assert psi([100, 200, 300], [1000, 2000, 3000]) == pytest.approx(0, abs=1e-4)
    assert jensen_shannon(np.array([1.0, 2.0]), np.array([2.0, 4.0])) == 0


def test_psi_equals_its_definition() -> None:
    before, now = np.array([300.5, 700.5]) / 1001, np.array([600.5, 400.5]) / 1001
    assert psi([300, 700], [600, 400]) == pytest.approx(float(((now - before) * np.log(now / before)).sum()))


def test_an_empty_bin_gives_a_finite_distance() -> None:
    assert 1 < psi([1000, 0], [0, 1000]) < math.inf
    assert jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == 1


def test_the_distances_of_a_shift_are_those_of_all_values() -> None:
    from scipy.stats import ks_2samp, wasserstein_distance  # type: ignore[import-untyped]

    before, now = normal(0, 20_000), normal(0.25, 20_000, 1)
    reference = profile_column(before, "numeric")
    found = measure(reference, count_like(reference, now))

    assert found.kolmogorov_smirnov == pytest.approx(ks_2samp(before, now).statistic, abs=0.01)
    assert found.wasserstein == pytest.approx(wasserstein_distance(before, now) / before.std(), rel=0.1)
    assert found.total_variation is None


def test_categories_that_changed_places_are_their_share_of_the_rows() -> None:
    reference = profile_column(["a"] * 600 + ["b"] * 400, "category")
    found = measure(reference, count_like(reference, ["a"] * 40 + ["b"] * 50 + ["new"] * 10))

    assert (found.total_variation, found.unseen) == (pytest.approx(0.2), pytest.approx(0.1))


def test_chance_explains_the_distance_between_samples_of_one_distribution() -> None:
    reference = profile_column(normal(0, 3000), "numeric")
    found, expected = [], []
    for seed in range(100):
        counts = reference["counts"], count_like(reference, normal(0, 1000, seed + 10))["counts"]
        found.append(psi(*counts))
        expected.append(expected_by_chance(*counts))

    assert np.mean(found) == pytest.approx(np.mean(expected), rel=0.25)


@pytest.mark.parametrize("extreme", [1e308, 1.7976931348623157e308, 5e-324, 0.0])
def test_extreme_numbers_give_finite_distances(extreme: float) -> None:
    values: Numbers = np.array([-extreme, 0.0, extreme] * 50)
    reference = profile_column(values, "numeric")
    found = measure(reference, count_like(reference, values[:100]))

    assert all(math.isfinite(value) for value in vars(found).values() if value is not None)
