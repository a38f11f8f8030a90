"""What the benchmark stands on: repeated flights that are honest data, and a table that says what was measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import duckdb
import pytest

from include.settings import PROJECT
from tests.bench.scale.flights import APART, repeat_flights
from tests.bench.scale.limited import NoLimit, memory_group
from tests.bench.scale.table import BEGIN, END, RESULT, render, write_readme


@pytest.fixture
def day(tmp_path: Path) -> Path:
    """A day of forty flights; some never arrived."""
    folder = tmp_path / "original"
    folder.mkdir()
    delay = "CASE WHEN range % 4 = 0 THEN NULL ELSE range * 1.0 END AS arr_delay"
    columns = "'UA' AS carrier, range::INTEGER AS flight, 'JFK' AS origin, 100.0 + range AS distance"
    duckdb.sql(
        f"COPY (SELECT timestamp '2013-01-01' AS scheduled_at, {columns}, {delay} FROM range(40)) "
        f"TO '{folder / '2013-01-01.parquet'}' (FORMAT parquet)"
    )
    return folder / "2013-01-01.parquet"


def test_copies_keep_keys_unique_and_nulls_and_are_the_same_every_time(day: Path, tmp_path: Path) -> None:
    made = [repeat_flights([day], tmp_path / name, 100, whole=40) for name in ("first", "second")]
    assert made[0] == made[1]
    assert abs(made[0] - 100) <= 20
    first, second = (duckdb.read_parquet(str(tmp_path / name / day.name)) for name in ("first", "second"))
    assert first.fetchall() == second.fetchall()
    keys, nulls, moved = duckdb.sql(
        f"SELECT count(DISTINCT flight), count(*) FILTER (WHERE (arr_delay IS NULL) <> (flight % {APART} % 4 = 0)), "
        f"max(abs(distance - 100 - flight % {APART})) FROM first"
    ).fetchall()[0]
    assert (keys, nulls) == (made[0], 0)
    assert 0 < moved <= 5
    original = duckdb.sql(f"SELECT count(*) FROM first WHERE flight < {APART} AND distance = 100 + flight").fetchall()
    assert original == [(40,)]


def size(rows: int, seconds: float) -> dict[str, object]:
    return {"rows": rows, "steps": [{"step": "train", "seconds": seconds, "resident": 1 << 30, "anonymous": 1}]}


def test_the_table_compares_the_cost_of_a_row_and_replaces_the_old_one(tmp_path: Path) -> None:
    document = {"limit": 6 << 30, "sizes": [size(1_000_000, 10), size(10_000_000, 150)]}
    assert "| train | 10 s, 1.0 GiB | 150 s, 1.0 GiB | × 1.50 |" in render(document)
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_readme(readme, document)
    text = readme.read_text()
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith(f"{END}\nafter\n")
    write_readme(readme, document)
    assert readme.read_text() == text


@pytest.mark.parametrize(("megabytes", "code"), [(8, 0), (200, -9)])
def test_a_child_that_needs_more_than_the_limit_is_killed(tmp_path: Path, megabytes: int, code: int) -> None:
    try:
        with memory_group(64 << 20) as group:
            ended = group.run(
                [sys.executable, "-S", "-c", f"import time; held = b'x' * ({megabytes} << 20); time.sleep(0.5)"],
                environment={},
                folder=tmp_path,
                log=tmp_path / "log",
            )
    except NoLimit as error:
        pytest.skip(str(error))
    assert ended.code == code
    assert 8 << 20 < ended.resident < 80 << 20


def test_the_readmes_table_is_made_of_the_figures_that_are_kept() -> None:
    document = json.loads(RESULT.read_text())
    assert f"{BEGIN}\n{render(document)}\n{END}" in (PROJECT / "README.md").read_text()
