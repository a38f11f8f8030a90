"""Quality over the last windows: what labels said of each, beside what was estimated of it without them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

_MOST: Final = 30
_SIDES: Final = ("value", "low", "high")


def quality_trend(newest: Mapping[str, Any], before: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The last windows of a champion that labels told of, oldest first.

    :param newest: details of this check of one source of labels; windows that end later are left out.
    :param before: details of that source's other checks, newest first; of those with the same window the first counts.
    :returns: by window ``end``, ``verdict`` and ``metrics``: by name ``value``, ``low``, ``high``, ``decayed`` and
        ``estimate`` (``value``, ``low``, ``high``; None if there is none).
    """
    version, until = newest["champion_version"], datetime.fromisoformat(newest["window"]["end"])
    found: dict[datetime, dict[str, Any]] = {}
    for details in (newest, *before):
        end = details["window"].get("end")
        if end is None or details["champion_version"] != version or not details["changes"]:
            continue
        when = datetime.fromisoformat(end)
        if when <= until:
            found.setdefault(when, {"end": end, "verdict": details["verdict"], "metrics": _metrics(details)})
    return [found[when] for when in sorted(found)][-_MOST:]


def truth_within(trend: Iterable[Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    """By metric: in how many windows the truth lay within the estimate's interval, and of how many that can be said."""
    counted: dict[str, tuple[int, int]] = {}
    for window in trend:
        for name, said in window["metrics"].items():
            estimate = said["estimate"]
            if estimate is None or estimate["low"] is None or said["value"] is None:
                continue
            inside, of = counted.get(name, (0, 0))
            counted[name] = (inside + (estimate["low"] <= said["value"] <= estimate["high"]), of + 1)
    return counted


def _metrics(details: Mapping[str, Any]) -> dict[str, Any]:
    estimates = {one["name"]: {side: one[side] for side in _SIDES} for one in details.get("estimates", [])}
    return {
        change["name"]: {side: change["now"][side] for side in _SIDES}
        | {"decayed": change["decayed"], "estimate": estimates.get(change["name"])}
        for change in details["changes"]
    }
