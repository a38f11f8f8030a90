"""What the files that servers look the past up in are called and how their keys are written; imports nothing heavy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

POINTER: Final = "newest.json"
TABLE: Final = "past"


def key_text(values: Sequence[Any]) -> str:
    """How a key is written in the file."""
    return json.dumps(list(values), ensure_ascii=False, separators=(",", ":"))
