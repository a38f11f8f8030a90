"""Many small frames judged together: the very results of judging each alone, in less time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from include.gates.engine import Evaluator
from include.gates.together import at_once, judge_each
from tests.gates.factories import evaluator_of

EXPECTATIONS: list[tuple[str, dict[str, Any]]] = [
    ("table_row_count_to_be_between", {"min_value": 2, "max_value": 3}),
    ("column_values_to_be_unique", {"column": "origin"}),
    ("column_values_to_not_be_null", {"column": "delay"}),
    ("column_values_to_not_be_null", {"column": "delay", "mostly": 0.5}),
    ("column_values_to_be_null", {"column": "never"}),
    ("column_values_to_be_between", {"column": "delay", "min_value": -1.2, "max_value": 1.2, "mostly": 0.6}),
    ("column_values_to_be_in_set", {"column": "origin", "value_set": ["EWR", "JFK", "LGA"]}),
    ("column_values_to_match_regex", {"column": "origin", "regex": "^[A-Z]{3}$"}),
    ("column_mean_to_be_between", {"column": "delay", "min_value": -0.8, "max_value": 0.8}),
    ("compound_columns_to_be_unique", {"column_list": ["origin", "number"]}),
]


def evaluator(folder: Path, expectations: Sequence[tuple[str, dict[str, Any]]] = EXPECTATIONS) -> Evaluator:
    return evaluator_of(folder, expectations, stage="raw")


def frames_of(count: int, *, seed: int, spoilt: float) -> dict[str, pd.DataFrame]:
    """Frames of none to four rows; some have twins, nulls, values far out and unknown names."""
    random = np.random.default_rng(seed)
    frames = {}
    for number in range(count):
        rows = int(random.integers(2, 4))
        origin = ["EWR", "JFK", "LGA"][:rows]
        delay = random.uniform(-1, 1, rows)
        if random.uniform() < spoilt:
            rows = int(random.integers(0, 5))
            origin = random.choice(["EWR", "JFK", "jfk", None], rows).tolist()
            delay = np.where(random.uniform(size=rows) < 0.3, np.nan, random.normal(size=rows))
        frame = pd.DataFrame({"origin": pd.Series(origin, dtype="str"), "delay": delay, "number": np.arange(rows) % 2})
        frames[f"hour {number}"] = frame.assign(never=np.full(rows, np.nan))
    return frames


def tables(frames: dict[str, pd.DataFrame]) -> dict[str, pa.Table]:
    """As they are read from files."""
    return {subject: pa.Table.from_pandas(frame, preserve_index=False) for subject, frame in frames.items()}


@pytest.mark.parametrize("spoilt", [0.0, 0.2, 1.0])
def test_the_results_are_those_of_judging_each_alone(tmp_path: Path, spoilt: float) -> None:
    judge = evaluator(tmp_path)
    frames = frames_of(40, seed=7, spoilt=spoilt)
    together = judge_each(judge, tables(frames), ["number"])
    alone = [judge.judge(frame, subject=subject, identify=["number"]) for subject, frame in frames.items()]
    assert together == alone
    refused = sum(result.verdict == "refused" for result in together)
    assert refused == 0 if not spoilt else refused > 3


def test_a_column_that_is_missing_in_some_frames_is_said_of_these(tmp_path: Path) -> None:
    judge = evaluator(tmp_path)
    frames = frames_of(6, seed=1, spoilt=0)
    for subject in ("hour 2", "hour 3"):
        frames[subject] = frames[subject].drop(columns="origin")
    together = judge_each(judge, tables(frames), ["number"])
    assert [result.verdict for result in together] == ["passed", "passed", "refused", "refused", "passed", "passed"]
    assert "origin is missing" in together[2].reason


def test_large_frames_are_judged_alone(tmp_path: Path) -> None:
    judge = evaluator(tmp_path, [("column_values_to_not_be_null", {"column": "delay"})])
    frames = {name: pd.DataFrame({"delay": np.arange(6_000.0)}) for name in "abc"}
    assert [result.rows for result in judge_each(judge, tables(frames), [])] == [6_000] * 3


def test_sound_frames_take_much_less_time_together(tmp_path: Path) -> None:
    judge = evaluator(tmp_path, EXPECTATIONS[:8])
    frames = frames_of(150, seed=3, spoilt=0)
    judge.judge(frames["hour 0"], subject="plans are made")
    read = tables(frames)
    judge_each(judge, read, [])
    started = time.process_time()
    judge_each(judge, read, [])
    middle = time.process_time()
    for subject, frame in frames.items():
        judge.judge(frame, subject=subject)
    assert 2 * (middle - started) < time.process_time() - middle


def test_groups_hold_a_bounded_number_of_rows_and_frames() -> None:
    rows = [150_000, 60_000, 10, *([1] * 2_500)]
    groups = list(at_once(list(range(len(rows))), rows))
    assert [item for group in groups for item in group] == list(range(len(rows)))
    assert groups[0] == [0]
    assert max(len(group) for group in groups) == 2_000
