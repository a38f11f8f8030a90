"""The log of a pod, read bit by bit: every line once, whoever reads it, and whatever clock the node has."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Final

_STAMPED: Final = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d) ?(.*)", flags=re.DOTALL
)
_MARGIN_SECONDS: Final = 10


class LogCursor:
    """How far a pod's log has been read.

    Kubernetes can give the lines of the last so many seconds only. So a little more is asked for, and what is known
    already is left out by the lines' own times.

    :param mark: where another reader has stopped, see :meth:`mark`.
    """

    def __init__(self, mark: str | None = None) -> None:
        last, seen, read_at = (mark or "0:0:0").split(":")
        self._last, self._seen, self._read_at = int(last), int(seen), float(read_at)

    @property
    def mark(self) -> str:
        """The position as text, from which another process can go on."""
        return f"{self._last}:{self._seen}:{self._read_at:.3f}"

    def since_seconds(self, now: float) -> int | None:
        """For how many seconds back the log must be asked for; None: from its start.

        :param now: seconds since 1970 by the reader's clock.
        """
        if not self._read_at:
            return None
        return max(1, math.ceil(now - self._read_at) + _MARGIN_SECONDS)

    def take(self, text: str, now: float) -> list[str]:
        """The new lines of what was answered, without Kubernetes' time stamps.

        :param text: the log with time stamps.
        :param now: when it was asked for, as for :meth:`since_seconds`.
        """
        lines: list[str] = []
        again = self._seen  # lines with the very time of the last one that was read
        for raw in text.split("\n"):
            match = _STAMPED.fullmatch(raw)
            if match is None:
                continue  # no line of the step, but Kubernetes' own complaint, at every look
            stamp = _nanoseconds(match[1], match[2] or "", match[3])
            if stamp < self._last:
                continue
            if stamp == self._last and again > 0:
                again -= 1
                continue
            self._seen = self._seen + 1 if stamp == self._last else 1
            self._last = stamp
            again = 0
            lines.append(match[4].rstrip("\r"))
        self._read_at = now
        return lines


def _nanoseconds(second: str, fraction: str, zone: str) -> int:
    instant = datetime.fromisoformat(second + ("+00:00" if zone == "Z" else zone))
    return int(instant.timestamp()) * 1_000_000_000 + int(fraction.ljust(9, "0") or 0)
