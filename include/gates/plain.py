"""Values of numpy and pandas as plain JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any


def to_plain(value: Any) -> Any:
    """Return the value as JSON knows it: numpy's as Python's; NaN, NaT, infinities as None; times as ISO 8601."""
    if isinstance(value, Mapping):
        return {str(name): to_plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        return to_plain(value.tolist())
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value.isoformat() if isinstance(value, datetime | date) else str(value)
