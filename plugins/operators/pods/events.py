"""Kubernetes' events about a pod as plain values, oldest first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

_LONGEST: Final = 1000


def events_of(found: Iterable[Any]) -> list[dict[str, Any]]:
    """Each event with its type, reason, message, count, and the time at which it was seen last."""
    events = [
        {
            "type": event.type or "",
            "reason": event.reason or "",
            "message": (event.message or "")[:_LONGEST],
            "count": event.count or 1,
            "at": _when(event),
        }
        for event in found
    ]
    return sorted(events, key=lambda event: event["at"])


def _when(event: Any) -> str:
    at = event.last_timestamp or event.event_time or event.first_timestamp or event.metadata.creation_timestamp
    return at.isoformat(timespec="seconds") if at is not None else ""
