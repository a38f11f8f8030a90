"""The checks of a deployment's stages as rows for a reader: what was measured, what it may be, what came out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from include.evaluation.metrics import METRICS
from include.reports.deployment_story import Story
from include.reports.deployment_words import instant
from include.reports.layout import format_percent, format_value

_CHECKS: Final = {
    "errors": ("Errors that the champion does not make", "percent"),
    "p99_ms": ("Latency, 99th percentile", "ms"),
    "added_ms": ("Added latency on the same rows", "ms"),
    "added_ms_answered": ("Added latency of answers", "ms"),
    "prediction_shift": ("Shift of the mean prediction", "sd"),
}
_DECIMALS: Final = {"ms": 2, "sd": 3}
_VERDICTS: Final = {"advance": ("good", "may go on"), "rollback": ("bad", "taken out"), "wait": ("warn", "waits")}


def checked_stages(story: Story) -> list[dict[str, Any]]:
    """The checks of each judged stage, the newest first."""
    stages = []
    for phase in reversed(story.phases):
        if phase.judgement is None or not phase.checks:
            continue
        tone, word = _VERDICTS[phase.judgement.verdict]
        stages.append(
            {
                "name": phase.name,
                "tone": tone,
                "word": word,
                "at": instant(phase.judgement.at),
                "looks": len(phase.judgements),
                "checks": sorted((_check(check) for check in phase.checks), key=lambda check: check["order"]),
            }
        )
    return stages


def _check(check: Mapping[str, Any]) -> dict[str, Any]:
    title, unit = _named(str(check["check"]))
    if not check["passed"]:
        tone, word, order = "bad", "failed", 0
    elif check.get("holds"):
        tone, word, order = "warn", "holds", 1
    elif check["enough"]:
        tone, word, order = "good", "passed", 2
    else:
        tone, word, order = "", "too little yet", 3
    return {
        "title": title,
        "tone": tone,
        "word": word,
        "order": order,
        "value": _measured(check["value"], unit),
        "bound": _measured(check["bound"], unit),
        "words": check["words"],
    }


def _named(check: str) -> tuple[str, str]:
    if check in _CHECKS:
        return _CHECKS[check]
    kind, _, metric = check.partition("_")
    title = METRICS[metric].title if metric in METRICS else metric
    return {
        "quality": (f"{title} on the same labelled rows, beside the champion", "signed"),
        "ab": (f"A/B test: {title} beside the champion", "signed"),
    }.get(kind, (check, ""))


def _measured(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    if unit == "percent":
        return format_percent(value, 2)
    if unit in _DECIMALS:
        return f"{round(value, _DECIMALS[unit]) + 0.0:.{_DECIMALS[unit]}f} {unit}"
    return f"{value:+.4f}" if unit == "signed" else format_value(float(value), 3)
