"""A row that a model takes, made up from its types, limits and learned categories; never from anybody's data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

Value = str | int | float | bool

_NUMBER: Final = 1.5
_TEXT: Final = "example"
_INSTANT: Final = "2024-01-15T12:00:00"


@dataclass(frozen=True, kw_only=True)
class Signature:
    """What a caller must know of a model.

    :param row: by column a value that a request may have; what the server looks up itself is not in it.
    :param label: such a value of what it predicts, as feedback sends it.
    """

    model: str
    row: dict[str, Value]
    label: Value

    @classmethod
    def of(cls, description: Mapping[str, Any]) -> Signature:
        """The signature of a packaged model.

        :param description: its ``features.json``, or what a definition would have there.
        """
        serving = description.get("serving") or {}
        limits, personal = serving.get("limits") or {}, set(serving.get("personal") or ())
        categories = _categories(description)
        row = {
            name: _value(kind, limits.get(name) or {}, () if name in personal else categories.get(name, ()))
            for name, kind in _columns(description).items()
        }
        return cls(model=description["model"], row=row, label=_label(description))


def _columns(description: Mapping[str, Any]) -> dict[str, str]:
    """Columns that a request brings, with their types: entity first, without values of the past."""
    columns = {**(description.get("serving") or {}).get("entity", {}), **description["columns"]}
    for group in description.get("history") or ():
        for name in group["columns"]:
            columns.pop(name, None)
        columns |= {**group["keys"], **({group["event_time"]: "timestamp"} if group["event_time"] else {})}
    return columns


def _categories(description: Mapping[str, Any]) -> dict[str, list[str]]:
    """What training has seen in a column that is a feature as it is."""
    return {
        feature["expression"]: feature["categories"]
        for feature in description["features"]
        if feature.get("categories") and feature.get("expression") in description["columns"]
    }


def _value(kind: str, limit: Mapping[str, Any], categories: Any) -> Value:
    if limit.get("values"):
        first: Value = limit["values"][0]
        return first
    if kind == "string":
        return str(categories[0]) if categories else _TEXT
    if kind in ("integer", "number"):
        return _number(limit.get("minimum"), limit.get("maximum"), whole=kind == "integer")
    return True if kind == "boolean" else _INSTANT


def _number(low: float | None, high: float | None, *, whole: bool) -> float | int:
    """The middle of what is allowed."""
    if low is not None and high is not None:
        middle = (low + high) / 2
    elif low is not None:
        middle = max(low, _NUMBER)
    else:
        middle = _NUMBER if high is None else min(high, _NUMBER)
    if not whole:
        return middle
    below = int(middle // 1)
    return below if low is None or below >= low else below + 1


def _label(description: Mapping[str, Any]) -> Value:
    if description["task"] == "regression":
        return _NUMBER
    classes = description.get("classes")
    return str(classes[0]) if classes else True
