"""What the evaluation page draws of a report: curves, calibration, residuals, confusion, importance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from include.reports.charts import calibration_chart, cost_chart, histogram, roc_chart
from include.reports.curve_charts import (
    MOST_CLASSES,
    class_curves_chart,
    confusion_chart,
    importance_chart,
    precision_recall_chart,
    shap_chart,
)
from include.reports.layout import format_percent, format_value
from include.spec.costs import Costs

Document = Mapping[str, Any]
Chart = tuple[str, str, Markup]
"""Title, explanation, drawing."""


def quality_charts(report: Document) -> list[Chart]:
    """The curves of a report; those that reports of before did not have are left out."""
    if report["task"] == "regression":
        return _of_values(report["curves"]["residuals"])
    if report["task"] == "multiclass_classification":
        return _of_classes(report["curves"])
    return _of_two_classes(report)


def _of_values(left: Document) -> list[Chart]:
    residuals = histogram(**left["histogram"], title="prediction − label")
    return [
        ("Residuals", "Prediction − label; right of 0 is too high.", residuals),
        (
            "Calibration",
            "Tenths of the rows by prediction.",
            calibration_chart(left["by_prediction"], probability=False),
        ),
    ]


def _of_classes(curves: Document) -> list[Chart]:
    bins = calibration_chart(curves["calibration"], probability=True)
    words = "Share of right answers, by tenths of the likeliest class's probability."
    charts = []
    by_class = curves.get("by_class_curves") or []
    if any(one["roc"] for one in by_class):
        first = f" The first {MOST_CLASSES}." if len(by_class) > MOST_CLASSES else ""
        text = f"Each class against all others.{first}"
        charts += [
            ("ROC curves", text, class_curves_chart(by_class, "roc")),
            ("Precision and recall", text, class_curves_chart(by_class, "pr")),
        ]
    return [*charts, ("Calibration", words, bins)]


def _of_two_classes(report: Document) -> list[Chart]:
    curves, charts = report["curves"], []
    if curves["roc"]:
        charts.append(("ROC curve", "How well the ranking separates.", roc_chart(curves["roc"])))
    if curves.get("pr"):
        words = f"Dashed: guessing, {format_percent(curves['positives'])}."
        charts.append(("Precision and recall", words, precision_recall_chart(curves["pr"], curves["positives"])))
    bins = calibration_chart(curves["calibration"], probability=True)
    charts.append(("Calibration", "Tenths of the rows by predicted probability.", bins))
    if curves.get("costs"):
        threshold = report["judging"]["threshold"]
        at, least = min(curves["costs"], key=lambda point: point[1])
        best = Costs.model_validate(report["judging"]["costs"]).best_threshold
        words = f"Line: {threshold:g}. Least: {format_value(least)} at {at:g}; in theory at {best:.2g}."
        charts.append(("Cost by threshold", words, cost_chart(curves["costs"], threshold)))
    return charts


def confusion(report: Document) -> Markup | None:
    """The drawing of the confusion matrix; None of a regression."""
    curves = report["curves"]
    if report["task"] == "binary_classification":
        found = curves["confusion"]
        counts = [
            [found["true_positive"], found["false_negative"]],
            [found["false_positive"], found["true_negative"]],
        ]
        return confusion_chart(["yes", "no"], counts, truth="truly", answer="answered")
    if report["task"] == "multiclass_classification":
        matrix = curves["confusion_matrix"]
        return confusion_chart(matrix["classes"], matrix["counts"], truth="truly", answer="likeliest")
    return None


def importance_of(report: Document) -> dict[str, Any] | None:
    """What the answers rest on, for the template; None of a report of before."""
    found = report.get("importance")
    if not found:
        return None
    jump = found.get("jump")
    return {
        "reason": found.get("reason"),
        "method": found["method"],
        "jump": jump,
        "bars": importance_chart(found["features"]) if found["features"] else None,
        "strips": shap_chart(found["summary"], found["edges"], scale=_SCALES[found["scale"]])
        if found["summary"]
        else None,
    }


_SCALES = {"log-odds": "log-odds", "value": "prediction", "score": "likeliest class's score"}
