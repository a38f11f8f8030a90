"""The looks at growing evidence and the bounds that they use."""

from __future__ import annotations

import math

import numpy as np
import pytest

from include.evaluation.live_intervals import (
    grouped,
    jackknife,
    lowest_share,
    median_bounds,
    student_quantile,
    tail,
)
from include.evaluation.live_looks import BLOCK, look_at, look_until


def test_looks_come_when_evidence_has_grown_by_half_and_look_at_the_same_rows_in_between() -> None:
    assert look_at(99, 100, 0.01) is None
    found = {rows: look_at(rows, 100, 0.01) for rows in (100, 149, 150, 224, 225)}
    assert [(look.number, look.stop) for look in found.values() if look] == [
        (0, 100), (0, 100), (1, 150), (1, 150), (2, 225),
    ]  # fmt: skip


def test_large_evidence_is_looked_at_in_blocks_of_its_newest_rows() -> None:
    for rows, start, stop in ((BLOCK, 0, BLOCK), (2 * BLOCK - 1, 0, BLOCK), (2 * BLOCK, BLOCK, 2 * BLOCK)):
        look = look_at(rows, 50, 0.01)
        assert look is not None
        assert (look.start, look.stop) == (start, stop)


@pytest.mark.parametrize("first", [20, 50, 200])
def test_all_looks_that_will_ever_be_spend_no_more_than_alpha(first: int) -> None:
    looks = {look.number: look for rows in range(first, 300_000, 7) if (look := look_at(rows, first, 0.01))}
    assert sorted(looks) == list(range(len(looks)))
    assert sum(look.alpha for look in looks.values()) <= 0.01


def test_looks_with_an_end_share_alpha_evenly() -> None:
    looks = {look.number: look for rows in range(100, 9000) if (look := look_until(rows, 100, 8000, 0.02))}
    assert sum(look.alpha for look in looks.values()) == pytest.approx(0.02)
    assert max(look.stop for look in looks.values()) == 8000
    assert look_until(9, 10, 10, 0.02) is None


@pytest.mark.parametrize(
    ("count", "of", "share", "expected"),
    # scipy.stats.binom.sf(count - 1, of, share)
    [(1, 1, 0.01, 0.01), (3, 100, 0.01, 0.0793732), (20, 1000, 0.01, 0.0032883598), (50, 20000, 0.002, 0.0701357)],
)
def test_the_binomial_tail_is_exact(count: int, of: int, share: float, expected: float) -> None:
    assert tail(count, of, share) == pytest.approx(expected, rel=1e-5)


def test_the_binomial_tail_knows_its_ends() -> None:
    assert (tail(0, 10, 0.1), tail(1, 10, 0.0), tail(1, 10, 1.0)) == (1.0, 0.0, 1.0)
    assert lowest_share(0, 10, 0.05) == 0.0


def test_the_lowest_share_is_clopper_and_pearsons() -> None:
    assert lowest_share(3, 100, 0.005) == pytest.approx(0.00340707, rel=1e-5)  # scipy.stats.beta.ppf(0.005, 3, 98)
    assert lowest_share(5000, 9000, 0.005) == pytest.approx(0.5419816, rel=1e-5)


@pytest.mark.parametrize(
    ("alpha", "degrees", "expected"),
    # scipy.stats.t.isf(alpha, degrees)
    [(0.025, 9, 2.262157), (0.005, 19, 2.860935), (1e-4, 9, 6.010132), (1e-4, 49, 4.027172)],
)
def test_students_quantile_is_close(alpha: float, degrees: int, expected: float) -> None:
    assert student_quantile(alpha, degrees) == pytest.approx(expected, rel=2e-3)


def test_the_medians_bounds_are_wrong_no_more_often_than_they_say() -> None:
    random = np.random.default_rng(1)
    bounds = [median_bounds(random.exponential(1, 101), 0.05) for _ in range(600)]
    wrong = np.mean([low > math.log(2) for low, _ in bounds]), np.mean([high < math.log(2) for _, high in bounds])
    assert max(wrong) < 0.075


def test_groups_are_days_if_there_are_ten_else_hours_else_neighbours() -> None:
    start = np.datetime64("2013-12-01T00:00")
    days = grouped(start + np.arange(300) * np.timedelta64(1, "h"))
    assert days.max() + 1 == 13
    assert np.array_equal(days, np.arange(300) // 24)
    assert grouped(start + np.arange(100) * np.timedelta64(30, "m")).max() + 1 == 50
    neighbours = grouped(start + np.zeros(400) * np.timedelta64(1, "h"))
    assert neighbours.max() + 1 == 40
    assert (np.diff(neighbours) >= 0).all()
    assert grouped(np.array([f"e{n}" for n in range(500)])).max() + 1 == 60
    assert grouped(np.zeros(5)).max() + 1 == 1


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = np.random.default_rng(2).normal(3, 2, 6000)
    found = jackknife(lambda weights: weights @ values / weights.sum(axis=1), grouped(np.zeros(6000)))
    assert found.value == pytest.approx(values.mean())
    assert found.error == pytest.approx(2 / math.sqrt(6000), rel=0.25)
    assert found.low(0.025) < 3 < found.high(0.025)


def test_days_that_share_their_luck_widen_the_interval() -> None:
    random = np.random.default_rng(3)
    times = np.datetime64("2013-12-01T00:00") + np.arange(2000) * np.timedelta64(15, "m")
    day = times.astype("datetime64[D]").astype(int)
    values = random.normal(0, 1, day.max() + 1)[day] + random.normal(0, 0.1, 2000)

    def mean(weights: np.ndarray) -> np.ndarray:
        return weights @ values / weights.sum(axis=1)

    assert jackknife(mean, grouped(times)).error > 3 * values.std() / math.sqrt(2000)


def test_too_few_groups_or_an_undefined_value_give_no_interval() -> None:
    assert not jackknife(lambda weights: weights.sum(axis=1), np.zeros(4, dtype=np.intp)).defined
    assert not jackknife(lambda weights: np.full(len(weights), np.nan), np.arange(20)).defined
    assert not jackknife(lambda weights: weights.sum(axis=1), np.empty(0, dtype=np.intp)).defined
