"""How far a model's drain has come: one cheap look at the registry, which Airflow's triggerer can afford every second.

Imports nothing but the registry, and that only when it looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from include.settings import Settings

if TYPE_CHECKING:
    from include.registry.retirement_state import Retirement

SETTLING: Final = timedelta(seconds=10)
"""After the drain has begun each server has this long to say for the first time what it sees."""
SILENT: Final = timedelta(seconds=30)
"""A server that has said nothing for so long may answer requests that nobody knows of."""


@dataclass(frozen=True, kw_only=True)
class Drain:
    """What a look found.

    :param state: ``waiting``: the model goes on answering; ``quiet``: nobody has asked for long enough; ``over``: its
        time is over, or it is out already; ``undone``: a person has undone the retirement.
    :param reason: why, in a sentence.
    """

    state: Literal["waiting", "quiet", "over", "undone"]
    reason: str


def look_at_drain(settings: Settings, model: str, began: datetime) -> Drain:
    """See whether a model may leave production now.

    :param began: when the retirement began, which names it.
    :raises DatabaseAway: the database cannot be reached.
    """
    from include.registry.retirement import newest_entry, read_retirement

    found = read_retirement(settings, model)
    if found is None or found.began_at != began:
        entry = newest_entry(settings, model)
        words = "it was undone" if entry is None else f"{entry.reason} ({entry.actor}, {_clock(entry.at)})"
        return Drain(state="undone", reason=f"{model} is not being retired any more: {words}")
    if not found.is_draining:
        return Drain(state="over", reason=f"{model} is out of production already")
    return judge(found, datetime.now(UTC))


def judge(draining: Retirement, now: datetime) -> Drain:
    """What the reports of all servers say at an instant."""
    if now >= draining.until:
        return Drain(state="over", reason=f"its time is over since {_clock(draining.until)}")
    if now < draining.began_at + SETTLING or not draining.sightings:
        return Drain(state="waiting", reason="no server has said yet whether anybody asks")
    seen = {server: datetime.fromisoformat(one["seen_until"]) for server, one in draining.sightings.items()}
    silent = [server for server, until in sorted(seen.items()) if now - until > SILENT]
    if silent:
        return Drain(state="waiting", reason=f"{silent[0]} has not said for {_ago(now, seen[silent[0]])} what it sees")
    last = max((at for one in draining.sightings.values() if (at := _last(one)) is not None), default=None)
    if last is None:
        return Drain(state="quiet", reason="nobody has asked for it for two days")
    quiet_for = min(seen.values()) - last
    if quiet_for >= draining.quiet:
        return Drain(state="quiet", reason=f"nobody has asked for it since {_clock(last)}")
    return Drain(state="waiting", reason=f"somebody asked for it at {_clock(last)}")


def _last(sighting: Mapping[str, Any]) -> datetime | None:
    at = sighting["last_request_at"]
    return None if at is None else datetime.fromisoformat(at)


def _ago(now: datetime, then: datetime) -> str:
    return f"{(now - then).total_seconds():.0f} s"


def _clock(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds")
