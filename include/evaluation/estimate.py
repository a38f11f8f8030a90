"""A value with its interval, as documents keep it: light enough for steps that run beside Airflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Estimate:
    """A value with its interval. ``value`` is None when undefined, ``low``/``high`` when there is no interval.

    :param reason: why something is None, for a person; None if nothing is.
    """

    value: float | None
    low: float | None
    high: float | None
    reason: str | None = None

    def to_document(self) -> dict[str, Any]:
        """``{"value", "low", "high"}`` and, where something is missing, ``reason``; never NaN."""
        document: dict[str, Any] = {"value": self.value, "low": self.low, "high": self.high}
        return document if self.reason is None else document | {"reason": self.reason}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Estimate:
        """Read what :meth:`to_document` wrote."""
        return cls(document["value"], document["low"], document["high"], document.get("reason"))
