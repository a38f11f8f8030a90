"""The monitoring page: the verdict first, then what labels say of the answers, then each feature.

The most drifted feature comes first, each with its change, limit, trend and both distributions.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from include.reports.charts import overlaid_histograms, paired_bars, trend_chart
from include.reports.layout import format_percent, format_value, write_page
from include.reports.quality_section import describe_quality, head_beside, sentences, span
from include.spec.partitions import WHOLE_KEY

Document = Mapping[str, Any]
_HEADS = {
    "drift": ("bad", "The newest data has drifted"),
    "no drift": ("good", "No drift: the newest data is within the limits"),
    "not enough data": ("warn", "Not enough data to tell"),
}
_PASSING = ("warn", "This window drifted, but not enough of the last ones did")
_DECAYED = {
    True: ("bad", "The newest data has drifted, and the champion's answers have become worse"),
    False: ("bad", "The champion's answers have become worse"),
}
_WORTH_TELLING = 0.0005
_BASES = {"training": "the training part", "season": "earlier windows of the same season"}


def write_drift_page(path: Path, report: Document) -> Path:
    """Write the page of a drift report (the step monitor makes it).

    :returns: the path.
    """
    passing = report["window_verdict"] == "drift" and report["verdict"] != "drift"
    tone, head = _PASSING if passing else _HEADS[report["verdict"]]
    decayed = [one["reason"] for one in report["quality"] if one["verdict"] == "decay"]
    if decayed:
        tone, head = _DECAYED[report["verdict"] == "drift"]
    elif tone == "good":
        beside = head_beside(report["quality"])
        tone, head = ("warn", beside) if beside else (tone, head)
    return write_page(
        path,
        "drift.html",
        report=report,
        tone=tone,
        head=head,
        reason=" ".join([*decayed, report["reason"], *sentences(report["quality"])]),
        todo=_todo(report),
        facts=_facts(report),
        features=[_feature(feature, report["trend"]) for feature in report["features"]],
        predictions=[_prediction(one) for one in report["predictions"]],
        quality=[describe_quality(one) for one in report["quality"]],
        windows=[
            (one["end"], format_percent(one.get("share"), 0), _mark(one["verdict"]))
            for one in reversed(report["trend"])
        ],
        origin=_origin(report),
    )


def _todo(report: Document) -> str:
    if _is_started(report):
        return f"Nothing: a training run as of {report['as_of']} is started."
    if report["verdict"] == "drift":
        return "Look at the features below; start a training run by hand if the champion should not wait."
    if any(one["verdict"] == "decay" for one in report["quality"]):
        return "Look at the quality of the answers below; start a training run by hand if the champion should not wait."
    if report["verdict"] == "not enough data":
        return "Nothing, if more days are on their way; otherwise make the window (monitoring.drift.window) longer."
    return ""


def _facts(report: Document) -> list[tuple[str, object]]:
    window, limits, persistence = report["window"], report["limits"], report["limits"]["persistence"]
    days = "none" if not window["first"] else span(window)
    share = limits["share_of_features"]
    asked = "one feature" if share is None else f"{format_percent(share, 0)} of the features"
    return [
        ("Model", report["model"]),
        ("Champion", f"version {report['champion_version']}"),
        ("As of", report["as_of"]),
        ("Partitions", days),
        ("Rows", window["rows"]),
        ("Compared with", _BASES[report["source"].get("basis", "training")]),
        ("Drifted features", format_percent(report["share"], 0)),
        ("Drift is", f"{asked}, in {persistence['drifted']} of {persistence['of']} windows"),
        ("Retraining", "started" if _is_started(report) else "not started"),
    ]


def _is_started(report: Document) -> bool:
    """Whether drift or decay starts a training."""
    return any(one["retrain"] for one in (report, *report["quality"]))


def _window(window: Document) -> str:
    if window["first"] == WHOLE_KEY:
        return f"the whole data as of {window['end']}"
    return f"{window['start']} to {window['end']}, {window['partitions']} partitions"


def _mark(verdict: str) -> tuple[str, str]:
    return _HEADS[verdict][0], verdict


def _prediction(said: Document) -> dict[str, Any]:
    """Predictions of one source; they have no trend of their own here."""
    titles = {"requests": "Answers of the server", "scores": "Scores of whole partitions"}
    tone, verdict = _mark(said["verdict"])
    return {
        "title": titles[said["source"]],
        "tone": tone,
        "verdict": verdict,
        "reason": said["reason"],
        "rows": said["rows"],
        "features": [_feature(feature, []) for feature in said["features"]],
    }


def _feature(feature: Document, trend: list[Document]) -> dict[str, Any]:
    tones = {True: ("bad", "drifted"), False: ("good", "stable"), None: ("", "too few rows")}
    tone, word = tones[feature["drifted"]]
    distances = feature["distances"] or {}
    return {
        "name": feature["name"],
        "type": feature["type"],
        "tone": tone,
        "word": word,
        "changes": [_change(feature, change) for change in feature["changes"] if change["size"] or change["p"] < 1],
        "distances": _distances(distances),
        "trend": _trend(feature["name"], trend),
        "chart": _chart(feature),
        "bins": feature["bins"],
        "open": feature["drifted"],
    }


def _change(feature: Document, change: Document) -> dict[str, Any]:
    if change["what"] == "missing":
        words = f"missing {format_percent(feature['missing_before'])} → {format_percent(feature['missing_now'])}"
    elif feature["type"] == "numeric":
        words = f"{format_percent(change['size'])} of the rows lie elsewhere"
    else:
        words = f"{format_percent(change['size'])} of the rows in another category"
    limit = format_percent(change["limit"])
    varies = " (it varies so anyway)" if change["ordinary"] == change["limit"] else ""
    return {
        "words": words,
        "limit": f"limit {limit}{varies}, by chance {_chance(change['p'])}",
        "share": change["size"] / (2 * change["limit"]),
        "tone": "bad" if change["drifted"] else "good",
    }


def _chance(p: float) -> str:
    if p >= 0.01:
        return format_percent(p, 0)
    return "less than 1 in 10,000" if p < 1e-4 else format_percent(p, 2)


def _distances(distances: Document) -> list[tuple[str, str]]:
    """Name and value of each distance that there is, for the row's small print."""
    named = [
        ("PSI", distances.get("psi"), ""),
        ("by chance", distances.get("psi_by_chance"), ""),
        ("Jensen-Shannon", distances.get("jensen_shannon"), ""),
        ("Kolmogorov-Smirnov", distances.get("kolmogorov_smirnov"), ""),
        ("Wasserstein", distances.get("wasserstein"), " sd"),
        ("total variation", distances.get("total_variation"), ""),
    ]
    found = [(name, f"{format_value(value, 2)}{unit}") for name, value, unit in named if value is not None]
    if (distances.get("unseen") or 0) >= _WORTH_TELLING:
        found.append(("never seen in training", format_percent(distances["unseen"])))
    return found


def _trend(name: str, trend: list[Document]) -> Markup | str:
    if len(trend) < 2:
        return ""
    sides = [one["features"].get(name, (None, None)) for one in trend]
    points = [None if size is None or not limit else size / limit for size, limit in sides]
    return trend_chart(points, title=f"{name}: change by limit in the last {len(trend)} windows")


def _chart(feature: Document) -> Markup:
    drawn = feature["histogram"]
    if drawn is None or not sum(drawn["reference"]) or not sum(drawn["current"]):
        return paired_bars(feature["bins"])
    return overlaid_histograms(drawn["edges"], drawn["reference"], drawn["current"], title=feature["name"])


def _origin(report: Document) -> list[tuple[str, object]]:
    source, window = report["source"], report["window"]
    if not source:
        return []
    part = f"training part of version {report['champion_version']}"
    where = part if source["basis"] == "training" else f"{_BASES['season']}, over the bins of the {part}"
    facts: list[tuple[str, object]] = [
        ("Reference", f"{where}, {source['reference_rows']:,} rows"),
        ("Champion as of", report["champion_as_of"]),
        ("Window", _window(window)),
        ("Features table", f"version {source['features_version']}, digest {source['features_digest']}"),
    ]
    if source["absent"]:
        facts.append(("No longer in the table", source["absent"]))
    if source["new"]:
        facts.append(("New in the table, not judged", source["new"]))
    return facts
