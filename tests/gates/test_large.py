"""Rows that are too many for one frame: the very results of judging them in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.gates import GateBroken, GateResult, large
from include.gates.engine import Evaluator
from include.gates.frames import training_rows
from include.gates.rows_on_disk import RowsOnDisk
from include.gates.vocabulary import FORMS
from include.lake.connections import open_duckdb
from include.settings import Settings
from tests.gates.factories import evaluator_of

#: Each type of expectation at least twice: one that the rows meet, one that they do not.
EXPECTATIONS: list[tuple[str, dict[str, Any]]] = [
    ("table_row_count_to_be_between", {"min_value": 1}),
    ("table_row_count_to_equal", {"value": 7}),
    ("column_to_exist", {"column": "delay"}),
    *[
        (f"column_{name}_to_be_between", {"column": column, "max_value": bound})
        for name in ("mean", "median", "stdev", "min", "max", "sum", "unique_value_count")
        for column in ("delay", "whole", "number")
        for bound in (-1_000_000, 1_000_000)
    ],
    *[
        (f"column_proportion_of_{name}_values_to_be_between", {"column": column, "min_value": 0.9})
        for name in ("unique", "non_null")
        for column in ("delay", "number", "origin", "never")
    ],
    ("column_median_to_be_between", {"column": "never", "max_value": 1}),
    ("column_mean_to_be_between", {"column": "never", "max_value": 1}),
    ("column_distinct_values_to_be_in_set", {"column": "origin", "value_set": ["EWR", "JFK", "LGA", "jfk"]}),
    ("column_distinct_values_to_be_in_set", {"column": "origin", "value_set": ["EWR"]}),
    ("column_distinct_values_to_contain_set", {"column": "part", "value_set": ["train"]}),
    ("column_distinct_values_to_contain_set", {"column": "whole", "value_set": [1, 2, 77]}),
    ("column_distinct_values_to_equal_set", {"column": "part", "value_set": ["train", "validation"]}),
    ("column_distinct_values_to_equal_set", {"column": "part", "value_set": ["train", "other"]}),
    ("column_values_to_not_be_null", {"column": "delay", "mostly": 0.5}),
    ("column_values_to_not_be_null", {"column": "whole"}),
    ("column_values_to_be_null", {"column": "never"}),
    ("column_values_to_be_null", {"column": "delay"}),
    ("column_values_to_be_unique", {"column": "number"}),
    ("column_values_to_be_unique", {"column": "delay"}),
    ("column_values_to_be_unique", {"column": "origin", "mostly": 0.01}),
    ("column_values_to_be_between", {"column": "delay", "min_value": -1.2, "max_value": 1.2, "mostly": 0.6}),
    ("column_values_to_be_between", {"column": "whole", "max_value": 3}),
    ("column_values_to_be_in_set", {"column": "origin", "value_set": ["EWR", "JFK", "LGA", "jfk"]}),
    ("column_values_to_be_in_set", {"column": "whole", "value_set": [1, 2]}),
    ("column_values_to_not_be_in_set", {"column": "origin", "value_set": ["XXX"]}),
    ("column_values_to_not_be_in_set", {"column": "origin", "value_set": ["jfk"]}),
    ("column_value_lengths_to_be_between", {"column": "origin", "min_value": 3}),
    ("column_value_lengths_to_be_between", {"column": "origin", "max_value": 2}),
    ("column_values_to_match_regex", {"column": "origin", "regex": "^[A-Z]{3}$"}),
    ("column_values_to_match_regex", {"column": "origin", "regex": "^[A-Za-z]{3}$"}),
    ("column_values_to_not_match_regex", {"column": "origin", "regex": "^J"}),
    ("column_values_to_not_match_regex", {"column": "origin", "regex": "^X"}),
    ("column_pair_values_a_to_be_greater_than_b", {"column_A": "number", "column_B": "delay", "mostly": 0.1}),
    ("column_pair_values_a_to_be_greater_than_b",
     {"column_A": "delay", "column_B": "number", "ignore_row_if": "either_value_is_missing"}),
    ("column_pair_values_to_be_equal", {"column_A": "number", "column_B": "whole", "mostly": 0.001}),
    ("column_pair_values_to_be_equal", {"column_A": "number", "column_B": "number"}),
    ("compound_columns_to_be_unique", {"column_list": ["number", "part"]}),
    ("compound_columns_to_be_unique", {"column_list": ["origin", "whole"]}),
    ("compound_columns_to_be_unique", {"column_list": ["origin", "delay"], "ignore_row_if": "any_value_is_missing"}),
    ("compound_columns_to_be_unique", {"column_list": ["delay", "never"], "ignore_row_if": "never"}),
    ("column_values_to_not_be_null", {"column": "absent"}),
]  # fmt: skip


def connect(folders: Sequence[Path]) -> duckdb.DuckDBPyConnection:
    settings = Settings.from_environment({"NORIA_HOME": str(folders[0] / "home")})
    return open_duckdb(settings, readable=folders)


@pytest.fixture
def rows(tmp_path: Path) -> RowsOnDisk:
    random = np.random.default_rng(7)
    for part, count in {"train": 90, "validation": 17, "holdout": 0}.items():
        delay = np.where(random.uniform(size=count) < 0.2, np.nan, random.normal(size=count).round(1))
        table = pa.table({
            "origin": pa.array(random.choice(["EWR", "JFK", "LGA", "jfk", None], count).tolist(), pa.string()),
            "delay": pa.array(delay, pa.float64()),  # NaN, not null
            "whole": pa.array([int(x) if x < 6 else None for x in random.integers(0, 8, count)], pa.int64()),
            "number": pa.array(np.arange(count) + 100 * len(part), pa.int64()),
            "never": pa.array([None] * count, pa.float64()),
        })  # fmt: skip
        pq.write_table(table, tmp_path / f"{part}.parquet")
    return training_rows(tmp_path, evaluator(tmp_path).suite, "the rows")


def evaluator(folder: Path, kinds: Sequence[tuple[str, dict[str, Any]]] = EXPECTATIONS) -> Evaluator:
    return evaluator_of(folder, kinds, stage="training", personal=["origin"])


def judged(judge: Evaluator, rows: RowsOnDisk) -> GateResult:
    return large.judge_rows(judge, rows, connect, identify=["number", "part"])


def test_the_results_are_those_of_judging_one_frame(
    rows: RowsOnDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = evaluator(tmp_path)
    whole = judged(judge, rows)
    monkeypatch.setattr(large, "LARGE_ROWS", 10)
    monkeypatch.setattr(large, "_ROWS_AT_ONCE", 13)
    pieces = judged(judge, rows)
    for one, other in zip(pieces.checks, whole.checks, strict=True):
        exact = {"observed": None} if isinstance(other.observed, float) else {}
        assert replace(one, **exact) == replace(other, **exact)
        if exact:
            assert one.observed == pytest.approx(other.observed, rel=1e-12, nan_ok=True)
    assert {check.type for check in whole.checks} == set(FORMS)
    by_type = {kind: {check.success for check in whole.checks if check.type == kind} for kind in FORMS}
    assert {kind for kind, found in by_type.items() if True not in found} <= {"expect_table_row_count_to_equal"}
    assert sum(not check.success for check in whole.checks) > 20


def test_what_no_number_can_be_made_of_is_said_of_its_expectation(
    rows: RowsOnDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large, "LARGE_ROWS", 10)
    judge = evaluator(tmp_path, [("column_mean_to_be_between", {"column": "origin", "max_value": 3})])
    with pytest.raises(GateBroken, match="expect_column_mean_to_be_between on origin"):
        judged(judge, rows)


def test_a_damaged_file_breaks_the_gate_and_not_the_data(rows: RowsOnDisk, tmp_path: Path) -> None:
    (tmp_path / "train.parquet").write_bytes(b"nothing")
    with pytest.raises(GateBroken, match=r"train\.parquet"):
        judged(evaluator(tmp_path), unopened(tmp_path))


def unopened(folder: Path) -> RowsOnDisk:
    """The same rows, not opened yet."""
    return RowsOnDisk(files=(folder / "train.parquet",), suite="m.training", subject="the rows")
