"""The evaluation page: the verdict first, then metrics beside champion and baselines, gates, curves, slices, origin."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from include.evaluation.metrics import Metric, find_metric
from include.reports.charts import interval_bar
from include.reports.evaluation_charts import confusion, importance_of, quality_charts
from include.reports.layout import format_percent, format_value, write_page
from include.spec.objective import Objective

Document = Mapping[str, Any]
_CONTENDERS = {
    "challenger": "Challenger",
    "champion": "Champion",
    "naive": "Naive baseline",
    "linear": "Linear baseline",
}


def write_evaluation_page(path: Path, report: Document) -> Path:
    """Write the page of an evaluation report.

    :param report: what :func:`include.evaluation.report.evaluate` measured, with ``gates``, ``as_of``, ``training``
        and, once it is made, ``decision``.
    :returns: the path.
    """
    return write_page(
        path,
        "evaluation.html",
        report=report,
        verdict=_verdict(report),
        facts=_facts(report),
        metrics=_metrics(report),
        contenders=[_CONTENDERS[name] for name in _present(report)],
        meeting=_meeting(report),
        drawn=_drawn(report["judging"]["resampling"]),
        cautions=_intervals(report),
        gates=[_gate(gate) for gate in report["gates"]],
        charts=quality_charts(report),
        errors=_errors(report),
        confusion=confusion(report),
        importance=importance_of(report),
        fairness=report.get("fairness") or [],
        robustness=_robustness(report),
        slices=_slices(report),
        slice_columns=_slice_columns(report),
        origin=_origin(report),
    )


def _verdict(report: Document) -> tuple[str, str, str]:
    """Tone, headline, what happened."""
    decision, gates = report.get("decision"), report["gates"]
    failed = sum(1 for gate in gates if not gate["passed"])
    state = f"{len(gates) - failed} of {len(gates)} gates passed."
    if decision is None:
        if failed:
            return "warn", f"{failed} of {len(gates)} gates failed", "The decision has not been made yet."
        return "good", "All gates passed", "The decision has not been made yet."
    if decision["promote"]:
        return "good", "Promote: the challenger goes into production", f"{state} {decision['reason']}"
    keeps = report["champion_version"]
    head = (
        f"Keep: champion version {keeps} stays"
        if keeps is not None
        else "Keep: the challenger does not go into production"
    )
    return "warn", head, f"{state} {decision['reason']}"


def _facts(report: Document) -> list[tuple[str, object]]:
    comparison = report["comparison"]
    against = "none" if report["champion_version"] is None else f"version {report['champion_version']}"
    facts: list[tuple[str, object]] = [
        ("Model", report["model"]),
        ("As of", str(report["as_of"])[:16].replace("T", " ")),
        ("Holdout rows", report["rows"]),
        ("Champion", against),
        ("Intervals", format_percent(report["judging"]["confidence"], 0)),
    ]
    if report["judging"].get("threshold_from") == "validation":
        facts.append(("Threshold, found on the validation part", f"{report['judging']['threshold']:.4g}"))
    if report["champion_version"] is not None:
        facts.insert(4, ("Compared with it on", comparison["rows"] or "no rows"))
    return facts


def _drawn(resampling: Document) -> str:
    """What the resamples behind the intervals are made of."""
    return "single rows" if resampling["unit"] == "row" else f"{resampling['units']:,} whole {resampling['unit']}s"


def _intervals(report: Document) -> list[str]:
    """What a reader must know of the intervals: why single rows are resampled, if they are."""
    reasons = [report["judging"]["resampling"]["reason"]]
    among = report["comparison"]["resampling"]
    if among is not None:
        reasons.append(among["reason"])
    return [f"Intervals come from single rows: {reason}" for reason in dict.fromkeys(reasons) if reason]


def _present(report: Document) -> list[str]:
    champion = ["champion"] if report["champion"] else []
    return ["challenger", *champion, *report["baselines"]]


def _metric(report: Document, name: str) -> Metric:
    """The metric, as the report's own objective has it."""
    objective = report["judging"].get("objective")  # reports of before had none
    return find_metric(name, report["task"], Objective.model_validate(objective) if objective else None)


def _metrics(report: Document) -> list[dict[str, Any]]:
    """A row for each metric: its name, whether it is shown first, a cell for each contender."""
    sides = {"challenger": report["challenger"], "champion": report["champion"], **report["baselines"]}
    return [
        {
            "title": _metric(report, name).title,
            "better": "higher is better" if _metric(report, name).higher_is_better else "lower is better",
            "leading": name in report["highlights"],
            "cells": [_cell(sides[side][name]) for side in _present(report)],
        }
        for name in report["metrics"]
    ]


def _cell(estimate: Document) -> dict[str, str]:
    if estimate["value"] is None:
        return {"value": "–", "interval": estimate.get("reason", "")}
    if estimate["low"] is None:
        return {"value": format_value(estimate["value"]), "interval": estimate.get("reason", "")}
    interval = f"{format_value(estimate['low'])} to {format_value(estimate['high'])}"
    return {"value": format_value(estimate["value"]), "interval": interval}


def _robustness(report: Document) -> list[dict[str, Any]]:
    """A row for each disturbance: what was disturbed, the metric before and after, the change."""
    return [
        {
            "disturbance": found["disturbance"],
            "columns": ", ".join(found["columns"]),
            "metric": _metric(report, found["metric"]).title,
            "before": _cell(found["undisturbed"]),
            "after": _cell(found["disturbed"]),
            "change": _cell(found["change"]),
        }
        for found in report.get("robustness", ())
    ]


def _meeting(report: Document) -> str:
    """A sentence on how challenger and champion met."""
    comparison = report["comparison"]
    if comparison["status"] == "fair":
        return f"The champion predicted the very same {comparison['rows']:,} rows; it was trained on none of them."
    reason = str(comparison["reason"])
    reason = reason[:1].upper() + reason[1:]
    if comparison["status"] == "part":
        mine = comparison["challenger"]
        values = ", ".join(
            f"{_metric(report, name).title} {format_value(mine[name]['value'])}" for name in report["highlights"]
        )
        return f"{reason} On those rows the challenger has {values}."
    return reason if reason.endswith(".") else f"{reason}."


def _gate(gate: Document) -> dict[str, Any]:
    return {
        "gate": gate["gate"],
        "tone": "good" if gate["passed"] else "bad",
        "word": "passed" if gate["passed"] else "failed",
        "value": format_value(gate["value"]),
        "bound": format_value(gate["bound"]),
        "by": "–" if gate["by"] is None else ("+" if gate["by"] >= 0 else "") + format_value(gate["by"]),
        "note": gate["note"],
        "chart": _interval(gate),
    }


def _interval(gate: Document) -> Markup | None:
    if gate["low"] is None or gate["high"] is None or gate["bound"] is None:
        return None
    return interval_bar(gate["low"], gate["estimate"], gate["high"], gate["bound"], good=gate["passed"])


def _errors(report: Document) -> list[tuple[str, object]]:
    """Of a regression: the mean error and its quantiles."""
    if report["task"] != "regression":
        return []
    left = report["curves"]["residuals"]
    return [
        ("Mean error", left["mean"]),
        *((f"{float(q):.0%} of errors below", v) for q, v in left["quantiles"].items()),
    ]


def _slice_columns(report: Document) -> list[str]:
    names = [_metric(report, name).title for name in report["highlights"]]
    versus = [f"{_metric(report, report['highlights'][0]).title} against champion"] if report["champion"] else []
    return ["Column", "Value", "Rows", *names, *versus]


def _slices(report: Document) -> list[dict[str, Any]]:
    """A row for each slice; the last cell says whether the challenger is better or worse than the champion there."""
    rows = []
    for one in report["slices"]:
        mine = one["metrics"]["challenger"]
        row: dict[str, Any] = {
            "column": one["column"],
            "value": one["value"],
            "rows": one["rows"],
            "cells": [_cell(mine[name]) for name in report["highlights"]] if not one["reason"] else [],
            "reason": one["reason"],
            "versus": None,
        }
        champion = one["improvements"].get("champion")
        if champion:
            row["versus"] = _versus(champion[report["highlights"][0]])
        rows.append(row)
    return rows


def _versus(estimate: Document) -> dict[str, str]:
    if estimate["low"] is None:
        return {"tone": "", "text": "–"}
    if estimate["low"] > 0:
        return {"tone": "good", "text": f"better by {format_value(estimate['value'])}"}
    if estimate["high"] < 0:
        return {"tone": "bad", "text": f"worse by {format_value(-estimate['value'])}"}
    return {"tone": "", "text": "no clear difference"}


def _origin(report: Document) -> list[tuple[str, object]]:
    """What the challenger was made from."""
    training = report["training"]
    made = training.get("training_set") or {}
    windows = made.get("windows") or {}
    parts = [(f"Window: {name}", _span(span)) for name, span in windows.items() if isinstance(span, Mapping)]
    rows = made.get("rows") or {}
    facts = [
        ("Fingerprint", training.get("fingerprint")),
        ("MLflow run", training.get("run_id")),
        ("Chosen candidate", training.get("candidate")),
        ("Model digest", training.get("artifact_digest")),
        ("Training set digest", made.get("digest")),
        ("Features table", _versioned(made, "features")),
        ("Rows", ", ".join(f"{part} {count:,}" for part, count in rows.items()) or None),
        *parts,
        *((f"Baseline: {name}", text) for name, text in report["baseline_descriptions"].items()),
    ]
    return [(name, value) for name, value in facts if value is not None]


def _span(span: Mapping[str, Any]) -> str:
    by = f" of the hash of {span['by']}" if "by" in span else ""
    return f"{span.get('start')} to {span.get('end')}{by}"


def _versioned(made: Mapping[str, Any], table: str) -> str | None:
    version = made.get(f"{table}_version")
    return None if version is None else f"version {version}, digest {made.get(f'{table}_digest')}"
