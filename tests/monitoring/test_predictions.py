"""Drift of the predictions: only a version's own answers of the window count, of requests and of scores apart."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from include.lake.columns import PARTITION_COLUMNS
from include.lake.paths import table_folder
from include.monitoring.predictions import PredictionCheck, check_predictions
from include.settings import Settings
from include.spec.definition import Drift
from include.spec.partitions import Partition
from include.training.column_profile import Document, profile_column

START = datetime(2013, 1, 10, tzinfo=UTC)
WINDOW = [
    Partition(start=START + timedelta(days=n), end=START + timedelta(days=n + 1), key=f"{date(2013, 1, 10 + n)}")
    for n in range(3)
]


def answers(shift: float, rows: int = 1000, **changes: Any) -> dict[str, list[Any]]:
    """Rows of ``inference``, spread over the window."""
    at = [START + timedelta(days=3) * place / rows for place in range(rows)]
    found: dict[str, list[Any]] = {
        "at": at,
        "day": [f"{instant:%Y-%m-%d}" for instant in at],
        "version": [3] * rows,
        "answered": [True] * rows,
        "error": [None] * rows,
        "prediction": np.random.default_rng(2).normal(0.5 + shift, 0.1, rows).tolist(),
    }
    return found | {name: [value] * rows for name, value in changes.items()}


def write_requests(settings: Settings, *parts: dict[str, list[Any]]) -> None:
    for part in parts:
        table = pa.table(part | {"error": pa.array(part["error"], pa.string())})
        write_deltalake(str(table_folder(settings, "late", "inference")), table, partition_by=["day"], mode="append")


def profile(values: Any = None) -> Document:
    made = profile_column(values, "category") if values else profile_column(
        np.random.default_rng(1).normal(0.5, 0.1, 5000), "numeric"
    )  # fmt: skip
    return {"prediction": made, "holdout_partitions": 7}


def judged(settings: Settings, of: Document | None = None) -> dict[str, PredictionCheck]:
    found = check_predictions(settings, "late", 3, of or profile(), WINDOW, Drift())
    return {str(check.source): check for check in found}


def test_without_tables_nothing_is_said(settings: Settings) -> None:
    assert judged(settings) == {}


@pytest.mark.parametrize(("shift", "verdict"), [(0.0, "no drift"), (0.03, "drift")])
def test_answers_to_requests_are_judged(settings: Settings, shift: float, verdict: str) -> None:
    write_requests(settings, answers(shift))

    assert judged(settings)["requests"].result.verdict == verdict


def test_other_versions_failures_shadow_scores_and_other_days_do_not_count(settings: Settings) -> None:
    late, early = ([at + days for at in answers(0)["at"]] for days in (timedelta(days=3), -timedelta(days=3)))
    others: list[dict[str, list[Any]]] = [
        answers(9, version=4),
        answers(9, error="broken"),
        answers(9, answered=False),
        *(answers(9) | {"at": moved, "day": [f"{at:%Y-%m-%d}" for at in moved]} for moved in (late, early)),
    ]
    write_requests(settings, answers(0.0), *others)
    found = judged(settings)["requests"]

    assert (found.result.verdict, found.result.rows, sum(found.counts)) == ("no drift", 1000, 1000)


def test_scores_of_the_windows_partitions_are_judged_by_themselves(settings: Settings) -> None:
    rows = 1500
    scores: dict[str, Any] = {
        "partition": [WINDOW[place % 3].key for place in range(rows - 500)] + ["2013-01-09"] * 500,
        "prediction": [0.9] * 500 + np.random.default_rng(2).normal(0.5, 0.1, rows - 500).tolist(),
        "model_version": [3] * rows,
        "data_source": ["raw"] * rows,
    }
    table = pa.table(scores | {name: ["x"] * rows for name in PARTITION_COLUMNS if name not in scores})
    write_deltalake(str(table_folder(settings, "late", "scores")), table, partition_by=list(PARTITION_COLUMNS))
    write_requests(settings, answers(0.0))
    found = judged(settings)

    assert (found["scores"].result.verdict, found["scores"].result.rows) == ("drift", 1000)
    assert found["requests"].result.verdict == "no drift"


def test_classes_are_judged_by_name_and_a_table_without_them_is_not_enough(settings: Settings) -> None:
    of = profile(["late", "on time"] * 500)
    write_requests(settings, answers(0.0))
    assert judged(settings, of)["requests"].result.verdict == "not enough data"

    table = pa.table({"version": [3] * 500, "answered": [True] * 500, "at": [START] * 500, "day": ["2013-01-10"] * 500})
    table = table.append_column("predicted_class", pa.array(["late"] * 500))
    write_deltalake(
        str(table_folder(settings, "late", "inference")),
        table.append_column("error", pa.array([None] * 500, pa.string())),
        mode="append", schema_mode="merge", partition_by=["day"],
    )  # fmt: skip
    assert judged(settings, of)["requests"].result.verdict == "drift"
