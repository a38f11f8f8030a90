"""Counting by DuckDB: the same counts as from a frame, by group, whatever the values are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from include.lake.connections import open_duckdb
from include.monitoring.counting import Counts, Document, add_up, count_rows, nothing
from include.settings import Settings
from include.spec.definition import FeatureType
from include.training.column_profile import count_like, profile_column

KINDS: dict[str, FeatureType] = {"number": "numeric", "whole": "numeric", "name": "category", "flag": "boolean"}


def make_frame(rows: int, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    numbers = random.normal(0, 1, rows)
    numbers[random.random(rows) < 0.1] = np.inf
    numbers[random.random(rows) < 0.1] = -np.inf
    numbers[random.random(rows) < 0.1] = np.nan
    names = pd.Series(random.zipf(1.3, rows).clip(0, 9_999)).map("c{}".format)
    return pd.DataFrame(
        {
            "number": numbers,
            "whole": random.integers(0, 24, rows),
            "name": names.where(random.random(rows) > 0.1, None),
            "flag": pd.array(random.random(rows) > 0.3, dtype="boolean"),
            "day": random.choice(["a", "b", "c"], rows),
        }
    )


def counted(settings: Settings, frame: pd.DataFrame, reference: dict[str, Document]) -> dict[str, Counts]:
    folder = settings.store
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(folder / "rows.parquet")
    with open_duckdb(settings, readable=[folder]) as connection:
        relation = f"read_parquet('{folder / 'rows.parquet'}')"
        return count_rows(connection, relation, "day", {name: f'"{name}"' for name in reference}, reference)


def test_duckdb_counts_what_the_frame_holds(settings: Settings) -> None:
    before, now = make_frame(5000), make_frame(3000, 1)
    reference = {name: profile_column(before[name], kind) for name, kind in KINDS.items()}
    found = counted(settings, now, reference)

    assert sorted(found) == ["a", "b", "c"]
    for day, part in now.groupby("day"):
        assert found[str(day)].rows == len(part)
        assert found[str(day)].columns == {name: count_like(reference[name], part[name]) for name in KINDS}
    whole = add_up(reference, found.values())
    assert whole == Counts(len(now), {name: count_like(reference[name], now[name]) for name in KINDS})


@pytest.mark.parametrize("values", [[], [None, None], [float("inf")], [3.0], [-3.0, 3.0, None]])
def test_profiles_and_windows_of_hardly_anything_are_counted(settings: Settings, values: list[float | None]) -> None:
    reference = {"number": profile_column(values, "numeric")}
    now = pd.DataFrame({"number": np.array([3.0, np.nan, -np.inf, 1e308]), "day": "a"})
    found = counted(settings, now, reference)["a"].columns["number"]

    assert sum(found["counts"]) == 2
    assert found["missing"] + found["not_finite"] == 2


def test_no_rows_are_no_groups(settings: Settings) -> None:
    frame = make_frame(10)
    reference = {name: profile_column(frame[name], kind) for name, kind in KINDS.items()}

    assert counted(settings, frame[:0], reference) == {}
    assert add_up(reference, []) == nothing(reference)
