"""Drift that stays: the verdict that counts needs some of the last windows, and the newest, to have drifted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from include.monitoring.drift import Verdict
from include.spec.definition import Persistence

_TREND: Final = 30


@dataclass(frozen=True)
class EarlierWindow:
    """The verdict on an earlier window alone.

    :param end: of the window.
    """

    end: datetime
    champion_version: int
    drifted: bool

    @classmethod
    def from_details(cls, details: Mapping[str, Any]) -> EarlierWindow | None:
        """Read a check result's details; None if it judged no window, or is older than this rule."""
        end, verdict = (details.get("window") or {}).get("end"), details.get("window_verdict")
        if end is None or verdict in (None, "not enough data"):
            return None
        return cls(datetime.fromisoformat(end), int(details["champion_version"]), verdict == "drift")


@dataclass(frozen=True)
class Lasting:
    """The verdict that counts.

    :param reason: what to add to the window's own reason; empty if the window alone decides.
    """

    verdict: Verdict
    reason: str


def judge_persistence(
    verdict: Verdict,
    *,
    end: datetime | None,
    champion_version: int,
    earlier: Iterable[Mapping[str, Any]],
    rule: Persistence,
) -> Lasting:
    """Hold the verdict on one window against those on the windows before it, of the same champion.

    :param end: of this window; None if there is none.
    :param earlier: details of other checks, in any order; of those with the same window the first counts.
    """
    if verdict != "drift" or rule.of == 1 or end is None:
        return Lasting(verdict, "")
    before: dict[datetime, bool] = {}
    for one in map(EarlierWindow.from_details, earlier):
        if one is not None and one.champion_version == champion_version and one.end < end:
            before.setdefault(one.end, one.drifted)
    last = [before[when] for when in sorted(before)[len(before) - min(len(before), rule.of - 1) :]]
    drifted, asked = 1 + sum(last), f"monitoring.drift.persistence asks for {rule.drifted} of {rule.of}"
    found = f"{drifted} of the last {1 + len(last)} windows drifted"
    if drifted >= rule.drifted:
        return Lasting("drift", f"It stays: {found}; {asked}.")
    return Lasting("no drift", f"This window drifted, but that may pass: {found}; {asked}.")


def trend_of(newest: Mapping[str, Any], before: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The last windows of a champion, oldest first: ``end``, ``verdict``, ``share`` and by feature ``[size, limit]``.

    :param newest: details of this check; windows that end later are left out.
    :param before: details of other checks; of those with the same window the first counts.
    """
    this, version = EarlierWindow.from_details(newest), newest["champion_version"]
    found: dict[datetime, dict[str, Any]] = {}
    for details in (newest, *before):
        one = EarlierWindow.from_details(details)
        if this is not None and one is not None and one.champion_version == version and one.end <= this.end:
            features = {feature["name"]: [feature["size"], feature["limit"]] for feature in details["features"]}
            verdict = details["window_verdict"]
            said = {"end": one.end.isoformat(), "verdict": verdict, "share": details.get("share")}
            found.setdefault(one.end, said | {"features": features})
    return [found[end] for end in sorted(found)][-_TREND:]
