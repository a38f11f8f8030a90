"""The drift page: verdict first, features by falling distance, self-contained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.monitoring.drift import judge_drift, nothing_published
from include.reports.drift_page import write_drift_page
from include.spec.definition import Drift
from include.training.profile import count_like, profile_column

LIMITS = Drift(psi=0.2, share_of_features=0.3)


def make_report(shift: float, rows: int = 1000, **changes: Any) -> dict[str, Any]:
    random = np.random.default_rng(0)
    numbers, names = random.normal(size=5000), pd.Series(random.choice(["a", "<i>b</i>"], 5000))
    reference = {"size": profile_column(numbers, "numeric"), "kind": profile_column(names, "category")}
    current = {
        "size": count_like(reference["size"], random.normal(shift, 1, rows)),
        "kind": count_like(reference["kind"], names[:rows]),
    }
    result = judge_drift(reference, current, rows=rows, limits=LIMITS) if rows else nothing_published()
    days = ("2013-09-24", "2013-09-30") if rows else (None, None)
    return {
        "model": "late",
        "as_of": "2013-10-01T00:00:00-04:00",
        "verdict": result.verdict,
        "reason": result.reason,
        "drift": result.verdict == "drift",
        "retrain": result.verdict == "drift",
        "share": result.share,
        "window": {"first": days[0], "last": days[1], "start": "s", "end": "e", "partitions": 7, "rows": rows},
        "limits": {"psi": 0.2, "share_of_features": 0.3},
        "champion_version": 3,
        "champion_as_of": "2013-09-01T00:00:00-04:00",
        "source": {"features_version": 4, "features_digest": "cd", "reference_rows": 5000, "absent": []}
        if rows
        else {},
        "features": [feature.to_document() for feature in result.features],
    } | changes


def written(folder: Path, report: dict[str, Any]) -> str:
    return write_drift_page(folder / "page.html", report).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("shift", "rows", "head"),
    [
        (2.0, 1000, "The newest data has drifted"),
        (0.0, 1000, "No drift: the newest data is within the limits"),
        (0.0, 40, "Not enough data to tell"),
        (0.0, 0, "Not enough data to tell"),
    ],
)
def test_the_verdict_opens_the_page(tmp_path: Path, shift: float, rows: int, head: str) -> None:
    page = written(tmp_path, make_report(shift, rows))

    assert head in page
    assert page.index(head) < page.index("<h2>")


def test_the_most_drifted_feature_comes_first_with_a_chart(tmp_path: Path) -> None:
    page = written(tmp_path, make_report(2.0))

    assert page.index("<td>size") < page.index("<td>kind")
    assert page.count("<svg") == 2


def test_the_page_is_self_contained_and_escapes_categories(tmp_path: Path) -> None:
    page = written(tmp_path, make_report(2.0))

    assert "<i>b</i>" not in page
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_features_that_the_table_lost_are_named(tmp_path: Path) -> None:
    report = make_report(0.0)
    report["source"]["absent"] = ["wind"]

    assert "wind" in written(tmp_path, report)
