"""Shares of the rows as people write them in a definition: ``15%``, ``12.5%``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, PlainSerializer, SerializationInfo

from include.spec.duration import format_duration, parse_duration

WHOLE: Final = 10_000
"""Parts that a whole is cut into: a share is exact to a hundredth of a percent."""


@dataclass(frozen=True, order=True)
class Share:
    """A share of the rows.

    :param parts: of :data:`WHOLE`.
    """

    parts: int

    def __str__(self) -> str:
        """As it is written: ``15%``, ``12.5%``."""
        return format_parts(self.parts)


def format_parts(parts: int) -> str:
    """So many parts of :data:`WHOLE`, in percent."""
    return f"{parts / 100:g}%"


def parse_parts(text: str) -> int:
    """Read what :func:`format_parts` wrote, 0% to 100%.

    :raises ValueError: for anything else.
    """
    match = re.fullmatch(r"([0-9]{1,3})(?:\.([0-9]{1,2}))?%", text)
    parts = int(match[1]) * 100 + int((match[2] or "").ljust(2, "0")) if match else -1
    if not 0 <= parts <= WHOLE:
        raise ValueError(f"{text!r} is no share")
    return parts


def parse_share(value: object) -> Share:
    """Read a percentage with at most two decimals, more than 0% and less than 100%.

    :raises ValueError: for anything else, with an example of what to write.
    """
    if isinstance(value, Share):
        return value
    problem = f"{value!r} is no share of the rows; write more than 0% and less than 100%, such as 15%"
    try:
        parts = parse_parts(value) if isinstance(value, str) else 0
    except ValueError:
        raise ValueError(problem) from None
    if not 0 < parts < WHOLE:
        raise ValueError(problem)
    return Share(parts)


def _parse(value: object) -> object:
    if isinstance(value, Share) or (isinstance(value, str) and "%" in value):
        return parse_share(value)
    return parse_duration(value)


def _written(value: Any, info: SerializationInfo) -> Any:
    if info.mode != "json":
        return value
    return format_duration(value) if isinstance(value, timedelta) else str(value)


DurationOrShare = Annotated[timedelta | Share, BeforeValidator(_parse), PlainSerializer(_written)]
