"""What the monitoring page says of the quality of the answers: by labels, by slice, estimated, and over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from include.reports.charts import interval_trend
from include.reports.layout import format_percent
from include.spec.partitions import WHOLE_KEY

Document = Mapping[str, Any]

_TITLES: Final = {"data": "Labels that came with the data", "requests": "Labels that were sent for requests"}
_TONES: Final = {"decay": "bad", "no decay": "good", "not enough data": "warn"}
_ESTIMATES: Final = {"estimate": ("", "estimate"), "warning": ("warn", "may be worse"), "no estimate": ("", "none")}
#: Slices that the page shows, those that are worse first.
_MOST_SLICES: Final = 10


def describe_quality(said: Document) -> dict[str, Any]:
    """What is known of one source's answers, for the template."""
    warned = said["verdict"] == "no decay" and said["warning"]
    return {
        "title": _TITLES[said["source"]],
        "tone": "warn" if warned else _TONES[said["verdict"]],
        "verdict": said["verdict"],
        "reason": said["reason"],
        "warning": said["warning"],
        "window": span(said["window"]),
        "rows": [_row(change, negative="worse") for change in said["changes"]],
        "slices": [_slice(one) for one in said["slices"][:_MOST_SLICES]],
        "slices_left": max(len(said["slices"]) - _MOST_SLICES, 0),
        "calibration": [(*_row(one)[:-1], _chance(one["p"]), _mark(one["worse"])) for one in said["calibration"]],
        "fairness": said.get("fairness") or [],
        "trends": _trends(said),
        "estimate": _estimate(said["estimate"]),
    }


def sentences(quality: Sequence[Document]) -> list[str]:
    """A sentence for the banner about each source: what labels say, what is worse beside it, what is estimated."""
    found = []
    for said in quality:
        name = _TITLES[said["source"]]
        if said["verdict"] == "no decay":
            of = f" of {said['answered']:,} answers" if said["answered"] != said["labels"] else ""
            found.append(f"{name}: no decay, by {said['labels']:,} labels{of}.")
        elif said["verdict"] == "not enough data":
            found.append(f"{name}: {said['reason']}")
        found += [said["warning"]] if said["warning"] else []
        if _estimate_warns(said):
            found.append(f"{name} aside, the newest answers may be worse: it is estimated below, without labels.")
    return found


def head_beside(quality: Sequence[Document]) -> str | None:
    """What the head of a page without drift and decay must add; None if nothing."""
    if any(said["warning"] for said in quality):
        return "No drift, but the answers have become worse in places"
    if any(map(_estimate_warns, quality)):
        return "No drift, but the answers may have become worse (estimated, without labels)"
    return None


def _estimate_warns(said: Document) -> bool:
    """Whether an estimate warns of answers that no labels have told of: these rule where they are known."""
    estimate = said["estimate"]
    told = said["verdict"] != "not enough data" and said["window"] == estimate["window"]
    return bool(estimate["verdict"] == "warning" and not told)


def span(window: Document) -> str:
    """A window in words."""
    first, last = window["first"] or window["start"], window["last"] or window["end"]
    return str(first) if first == last == WHOLE_KEY else f"{first} to {last}"


def interval(estimate: Document | None, *, signed: bool = False) -> str:
    """A value with its interval; a dash for none."""
    if estimate is None or estimate["value"] is None:
        return "–"
    form = "{:+.4g}" if signed else "{:.4g}"
    if estimate["low"] is None:
        return form.format(estimate["value"])
    value, low, high = (form.format(estimate[key]) for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _row(change: Document, *, negative: str = "") -> tuple[str, str, str, str, str]:
    least = "–" if change["least"] is None else f"{change['least']:.4g} {negative}".strip()
    return (
        change["title"],
        interval(change["before"]),
        interval(change["now"]),
        interval(change["change"], signed=True),
        least,
    )


def _slice(one: Document) -> tuple[str, int, str, str, str, str, str]:
    where = f"{one['column']} {one['value']}"
    _, before, now, change, _ = _row(one)
    return where, one["labels"], before, now, change, _chance(one["p"]), _mark(one["worse"])


def _mark(worse: bool) -> str:
    return "worse" if worse else "–"


def _chance(p: float) -> str:
    if p >= 0.995:
        return "likely"
    return format_percent(p, 0) if p >= 0.01 else "less than 1 %"


def _trends(said: Document) -> list[dict[str, Any]]:
    """A chart for each metric of which more than one window is known, and how often its estimates were right."""
    trend, right = said["trend"], said["held"]
    found = []
    for change in said["changes"]:
        name = change["name"]
        windows = [one["metrics"][name] for one in trend if name in one["metrics"]]
        inside, of = right.get(name, (0, 0))
        held = f"In {inside} of {of} windows the truth lay within the estimate's interval." if of else ""
        if len(windows) > 1 or held:
            ends = f"which ended from {trend[0]['end'][:10]} to {trend[-1]['end'][:10]}"
            title = f"{change['title']} in the last {len(windows)} windows, {ends}"
            chart = interval_trend(windows, before=change["before"], title=title) if len(windows) > 1 else ""
            found.append({"title": title if chart else change["title"], "chart": chart, "held": held})
    return found


def _estimate(said: Document) -> dict[str, Any]:
    tone, word = _ESTIMATES[said["verdict"]]
    return {
        "tone": tone,
        "word": word,
        "reason": said["reason"],
        "window": span(said["window"]),
        "rows": [
            (
                one["title"],
                interval(one["before"]),
                interval(one["estimate"]),
                interval(one["change"], signed=True),
                "–" if one["least"] is None else f"{one['least']:.4g} worse",
            )
            for one in said["metrics"]
        ],
    }
