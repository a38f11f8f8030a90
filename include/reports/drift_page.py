"""The drift page: the verdict first, then every feature by falling PSI with its shares before and now."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from include.reports.charts import paired_bars
from include.reports.layout import format_percent, format_value, write_page
from include.spec.partitions import WHOLE_KEY

Document = Mapping[str, Any]
_HEADS = {
    "drift": ("bad", "The newest data has drifted"),
    "no drift": ("good", "No drift: the newest data is within the limits"),
    "not enough data": ("warn", "Not enough data to tell"),
}


def write_drift_page(path: Path, report: Document) -> Path:
    """Write the page of a drift report (the step monitor makes it).

    :returns: the path.
    """
    tone, head = _HEADS[report["verdict"]]
    return write_page(
        path,
        "drift.html",
        report=report,
        tone=tone,
        head=head,
        todo=_todo(report),
        facts=_facts(report),
        features=[_feature(feature, report["limits"]["psi"]) for feature in report["features"]],
        origin=_origin(report),
    )


def _todo(report: Document) -> str:
    if report["retrain"]:
        return f"Nothing: a training run as of {report['as_of']} is started."
    if report["verdict"] == "drift":
        return "Look at the features below; start a training run by hand if the champion should not wait."
    if report["verdict"] == "not enough data":
        return "Nothing, if more days are on their way; otherwise make the window (monitoring.drift.window) longer."
    return ""


def _facts(report: Document) -> list[tuple[str, object]]:
    window = report["window"]
    days = "none" if not window["first"] else _span(window["first"], window["last"])
    return [
        ("Model", report["model"]),
        ("Champion", f"version {report['champion_version']}"),
        ("As of", report["as_of"]),
        ("Partitions", days),
        ("Rows", window["rows"]),
        ("Drifted features", format_percent(report["share"], 0)),
        ("Limit", f"{format_percent(report['limits']['share_of_features'], 0)} at PSI {report['limits']['psi']:g}"),
        ("Retraining", "started" if report["retrain"] else "not started"),
    ]


def _span(first: str, last: str) -> str:
    return first if first == last == WHOLE_KEY else f"{first} to {last}"


def _window(window: Document) -> str:
    if window["first"] == WHOLE_KEY:
        return f"the whole data as of {window['end']}"
    return f"{window['start']} to {window['end']}, {window['partitions']} partitions"


def _feature(feature: Document, limit: float) -> dict[str, Any]:
    tones = {True: ("bad", "drifted"), False: ("good", "stable"), None: ("", "too few rows")}
    tone, word = tones[feature["drifted"]]
    return {
        "name": feature["name"],
        "type": feature["type"],
        "psi": format_value(feature["psi"], 3),
        "share": 0 if feature["psi"] is None else feature["psi"] / (2 * limit),
        "chance": format_value(feature["chance"], 2),
        "tone": tone,
        "word": word,
        "missing": f"{format_percent(feature['missing_before'])} → {format_percent(feature['missing_now'])}",
        "chart": paired_bars(feature["bins"]),
        "bins": feature["bins"],
    }


def _origin(report: Document) -> list[tuple[str, object]]:
    source, window = report["source"], report["window"]
    if not source:
        return []
    facts: list[tuple[str, object]] = [
        ("Reference", f"training part of version {report['champion_version']}, {source['reference_rows']:,} rows"),
        ("Champion as of", report["champion_as_of"]),
        ("Window", _window(window)),
        ("Features table", f"version {source['features_version']}, digest {source['features_digest']}"),
    ]
    if source["absent"]:
        facts.append(("No longer in the table", source["absent"]))
    return facts
