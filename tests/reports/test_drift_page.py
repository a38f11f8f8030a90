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


WINDOW = {"first": None, "last": None, "start": "2013-09-03", "end": "2013-10-01T00:00:00-04:00"}
NO_ESTIMATE = {"window": WINDOW, "verdict": "no estimate", "reason": "No estimate: too few.", "rows": 3, "metrics": []}
KNOWN = {"value": 0.7, "low": 0.68, "high": 0.72}


def quality(verdict: str, reason: str, **changes: Any) -> dict[str, Any]:
    """What the step monitor says of the answers to requests."""
    return {
        "source": "requests", "window": WINDOW, "verdict": verdict, "reason": reason, "labels": 412, "answered": 900,
        "retrain": False, "start_id": None, "changes": [], "calibration": [], "slices": [], "warning": None,
        "estimates": [], "estimate": NO_ESTIMATE, "trend": [], "held": {},
    } | changes  # fmt: skip


def change_of(name: str, title: str, now: float, **changes: Any) -> dict[str, Any]:
    return {
        "name": name, "title": title, "before": KNOWN, "now": {"value": now, "low": None, "high": None},
        "change": {"value": -0.1, "low": -0.13, "high": -0.07}, "least": 0.035, "decayed": True,
    } | changes  # fmt: skip


def test_decay_is_the_verdict_and_shows_each_metric_then_and_now(tmp_path: Path) -> None:
    said = quality(
        "decay",
        "It rests on 412 labels of 900 answers.",
        retrain=True,
        start_id="decay-20131001-abc",
        changes=[change_of("roc_auc", "ROC AUC", 0.6)],
    )
    page = written(tmp_path, make_report(0.0, quality=[said]))

    assert "The champion&#39;s answers have become worse" in page
    assert "a training run as of 2013-10-01T00:00:00-04:00 is started" in page
    assert page.index("412 labels of 900 answers") < page.index("None of 2 features has drifted")
    for cell in ("ROC AUC", "0.7 [0.68, 0.72]", "-0.1 [-0.13, -0.07]", "0.035 worse", "412 labels of 900 answers"):
        assert cell in page


def test_slices_and_calibration_that_are_worse_are_told_in_the_head_and_named(tmp_path: Path) -> None:
    named = {"column": "carrier", "value": "<b>AA</b>", "labels": 123, "p": 0.001, "worse": True}
    told = {"p": 0.3, "worse": False}
    said = quality(
        "no decay",
        "As good as before.",
        warning="Worse than chance explains: carrier AA.",
        slices=[change_of("roc_auc", "ROC AUC", 0.5) | named],
        calibration=[change_of("slope", "Calibration slope", 0.9) | told],
    )
    page = written(tmp_path, make_report(0.0, quality=[said]))

    assert "No drift, but the answers have become worse in places" in page
    assert "no decay, by 412 labels of 900 answers" in page
    for cell in ("carrier &lt;b&gt;AA", "less than 1 %", "Calibration slope", "30 %"):
        assert cell in page


def test_a_page_without_labels_claims_nothing_of_the_answers_and_warns_by_the_estimate(tmp_path: Path) -> None:
    metric = {"name": "roc_auc", "title": "ROC AUC", "before": KNOWN,
              "estimate": {"value": 0.55, "low": 0.5, "high": 0.6},
              "change": {"value": -0.15, "low": -0.2, "high": -0.1}, "least": 0.035, "worse": True}  # fmt: skip
    estimate = {"window": WINDOW, "verdict": "warning", "reason": "Estimated.", "rows": 2140, "metrics": [metric]}
    late = "3 of 2,140 answers have labels yet: no verdict on quality."
    page = written(tmp_path, make_report(0.0, quality=[quality("not enough data", late, estimate=estimate)]))

    assert "the answers may have become worse (estimated, without labels)" in page
    assert late in page
    assert "0.55 [0.5, 0.6]" in page


def test_where_labels_have_told_an_estimate_of_the_same_answers_warns_of_nothing(tmp_path: Path) -> None:
    estimate = {**NO_ESTIMATE, "verdict": "warning", "reason": "Estimated."}
    page = written(tmp_path, make_report(0.0, quality=[quality("no decay", "Good.", estimate=estimate)]))

    assert "No drift: the newest data is within the limits" in page


def test_the_last_windows_show_truth_beside_estimate_and_how_often_they_agreed(tmp_path: Path) -> None:
    windows = [
        {"end": f"2013-{month:02d}-01T00:00:00-04:00", "verdict": "no decay",
         "metrics": {"roc_auc": {**KNOWN, "value": value, "decayed": False, "estimate": KNOWN}}}
        for month, value in ((8, 0.7), (9, 0.71), (10, 0.6))
    ]  # fmt: skip
    said = quality(
        "no decay", "Good.", changes=[change_of("roc_auc", "ROC AUC", 0.6)], trend=windows, held={"roc_auc": (2, 3)}
    )
    page = written(tmp_path, make_report(0.0, quality=[said]))

    assert "ROC AUC in the last 3 windows, which ended from 2013-08-01 to 2013-10-01" in page
    assert "In 2 of 3 windows the truth lay within the estimate&#39;s interval." in page
    assert page.count("<svg") == 5
