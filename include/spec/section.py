"""What all parts of a definition share: strict and frozen, with durations and days as people write them."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

from include.spec.duration import format_duration, parse_duration


def _parse_day(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError(f"{value!r} is not a day; write it as year-month-day, such as 2013-01-31") from None


Duration = Annotated[
    timedelta, BeforeValidator(parse_duration), PlainSerializer(format_duration, return_type=str, when_used="json")
]
Day = Annotated[date, BeforeValidator(_parse_day)]
Scalar = bool | int | float | str


class Section(BaseModel):
    """A part of a definition: unknown keys are refused, values cannot change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
