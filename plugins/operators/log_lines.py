"""A step's log as Airflow shows it: each line at its own level, and what was said last."""

from __future__ import annotations

import re
from typing import Any

_MESSAGE_LIMIT = 4000
_MOST_LINES = 200
_LINE = re.compile(r"^\d\d:\d\d:\d\d (?P<level>[A-Z]+) +(?P<message>.*)$")


def split_level(line: str) -> tuple[str | None, str]:
    """Level and message of a line that a step has logged; a line that it only printed has no level."""
    match = _LINE.match(line)
    return (match["level"], match["message"]) if match else (None, line)


def pass_on(line: str, log: Any) -> None:
    """Write a step's line into Airflow's log, which adds time and level itself."""
    level, message = split_level(line)
    # Not as a format: a step's line may hold percent signs.
    {"WARNING": log.warning, "ERROR": log.error}.get(level or "", log.info)("%s", message)


class LastWords:
    """What the step said last: its last error with the lines that belong to it, else its last lines."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._in_error = False

    def hear(self, line: str) -> None:
        """Take in the next line."""
        level, message = split_level(line)
        if level == "ERROR" or (level is not None and not self._in_error):
            self._lines = []
        self._in_error = level == "ERROR" or (self._in_error and level is None)
        self._lines = [*self._lines, message][-_MOST_LINES:]

    def text(self) -> str:
        """As one message; of a traceback only the sentence that stands before it."""
        head = self._lines[0] if self._lines else "It said nothing."
        body = "\n".join(self._lines)
        return head if "Traceback (most recent call last)" in body else body[:_MESSAGE_LIMIT]
