"""Durations as people write them in a definition: ``90d``, ``6h``, ``30m``, ``45s``, ``2w``."""

from __future__ import annotations

import re
from datetime import timedelta

LONGEST = timedelta(days=36500)

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_duration(value: object) -> timedelta:
    """Read ``<number><unit>`` (s, m, h, d, w); a ``timedelta`` passes through.

    :raises ValueError: for anything else, with an example of what to write.
    """
    if isinstance(value, timedelta):
        return value
    match = re.fullmatch(r"([0-9]{1,12})([smhdw])", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is not a duration; write a number and a unit (s, m, h, d, w), such as 7d or 12h")
    try:
        duration = timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError:
        duration = timedelta.max
    if duration > LONGEST:
        raise ValueError(f"{value!r} is too long; write at most {LONGEST.days}d")
    return duration


def format_duration(value: timedelta) -> str:
    """The shortest text that :func:`parse_duration` reads back to the same value (whole seconds)."""
    seconds = int(value.total_seconds())
    for unit, size in (("w", 604800), ("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
