"""The drift page: verdict first, features by falling distance, self-contained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.monitoring.drift import judge_drift, nothing_to_judge
from include.monitoring.persistence import trend_of
from include.reports.drift_page import write_drift_page
from include.spec.definition import Drift
from include.training.column_profile import count_like, profile_column


def make_report(shift: float, rows: int = 1000, **changes: Any) -> dict[str, Any]:
    random, limits = np.random.default_rng(0), Drift()
    numbers, names = random.normal(size=5000), pd.Series(random.choice(["a", "<i>b</i>"], 5000))
    reference = {"size": profile_column(numbers, "numeric"), "kind": profile_column(names, "category")}
    current = {
        "size": count_like(reference["size"], random.normal(shift, 1, rows)),
        "kind": count_like(reference["kind"], names[:rows]),
    }
    result = judge_drift(reference, current, rows=rows, limits=limits) if rows else nothing_to_judge("No partition.")
    days = ("2013-09-24", "2013-09-30") if rows else (None, None)
    ends = ["2013-09-17T00:00:00-04:00", "2013-09-24T00:00:00-04:00", "2013-10-01T00:00:00-04:00"]
    checks = [
        {
            "window_verdict": result.verdict,
            "champion_version": 3,
            "window": {"end": end if rows else None},
            "features": [feature.to_short_document() for feature in result.features],
        }
        for end in ends
    ]
    read = {"basis": "training", "features_version": 4, "features_digest": "cd", "reference_rows": 5000}
    return {
        "model": "late",
        "as_of": "2013-10-01T00:00:00-04:00",
        "verdict": result.verdict,
        "window_verdict": result.verdict,
        "reason": result.reason,
        "drift": result.verdict == "drift",
        "retrain": result.verdict == "drift",
        "share": result.share,
        "window": {"first": days[0], "last": days[1], "start": "s", "end": ends[-1], "partitions": 7, "rows": rows},
        "limits": limits.model_dump(mode="json"),
        "champion_version": 3,
        "champion_as_of": "2013-09-01T00:00:00-04:00",
        "source": {**read, "absent": [], "new": []} if rows else {},
        "features": [feature.to_document() for feature in result.features],
        "predictions": [],
        "quality": [],
        "trend": trend_of(checks[-1], checks[:-1]),
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
    assert "<h2>" not in page or page.index(head) < page.index("<h2>")


def test_drift_that_does_not_stay_is_told_apart_from_none(tmp_path: Path) -> None:
    page = written(tmp_path, make_report(2.0, verdict="no drift", drift=False, retrain=False))

    assert "This window drifted, but not enough of the last ones did" in page


def test_the_most_drifted_feature_comes_first_with_its_change_trend_and_distributions(tmp_path: Path) -> None:
    page = written(tmp_path, make_report(2.0))

    assert page.index("<td>size") < page.index("<td>kind")
    assert page.count("<svg") == 4
    assert "% of the rows lie elsewhere" in page
    assert "size: change by limit in the last 3 windows" in page


def test_the_page_is_self_contained_and_escapes_categories(tmp_path: Path) -> None:
    page = written(tmp_path, make_report(2.0))

    assert "<i>b</i>" not in page
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_features_that_the_table_lost_or_has_besides_are_named(tmp_path: Path) -> None:
    report = make_report(0.0)
    report["source"] |= {"absent": ["wind"], "new": ["rain"]}
    page = written(tmp_path, report)

    assert "wind" in page
    assert "rain" in page


def test_predictions_are_drawn_by_source(tmp_path: Path) -> None:
    report = make_report(0.0)
    said = {"source": "requests", "verdict": "drift", "window_verdict": "drift", "reason": "It moved.", "rows": 1000}
    report["predictions"] = [said | {"features": report["features"][:1]}]
    page = written(tmp_path, report)

    assert "Answers of the server" in page
    assert "It moved." in page
    assert page.count("<svg") == 5


def test_decay_is_the_verdict_and_shows_each_metric_then_and_now(tmp_path: Path) -> None:
    estimate = {"value": 0.7, "low": 0.68, "high": 0.72}
    change = {
        "name": "roc_auc", "title": "ROC AUC", "before": estimate, "now": {"value": 0.6, "low": None, "high": None},
        "change": {"value": -0.1, "low": -0.13, "high": -0.07}, "least": 0.035, "decayed": True,
    }  # fmt: skip
    said = {
        "source": "requests", "window": {"first": None, "last": None, "start": "2013-09-03", "end": "2013-10-01"},
        "verdict": "decay", "reason": "It rests on 412 labels of 900 answers.", "labels": 412, "answered": 900,
        "retrain": True, "start_id": "decay-20131001-abc", "changes": [change],
    }  # fmt: skip
    page = written(tmp_path, make_report(0.0, quality=[said]))

    assert "The champion&#39;s answers have become worse" in page
    assert "a training run as of 2013-10-01T00:00:00-04:00 is started" in page
    assert page.index("412 labels of 900 answers") < page.index("None of 2 features has drifted")
    for cell in ("ROC AUC", "0.7 [0.68, 0.72]", "-0.1 [-0.13, -0.07]", "0.035 worse", "412 labels of 900 answers"):
        assert cell in page
