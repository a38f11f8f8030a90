"""Small factories for the tests of gates."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from include.gates import Stage, read_suite
from include.gates.engine import Evaluator


def evaluator_of(
    folder: Path, kinds: Sequence[tuple[str, dict[str, Any]]], *, stage: Stage, personal: Sequence[str] = ()
) -> Evaluator:
    """What judges by critical expectations: their types, without ``expect_``, and arguments."""
    items = [
        {"type": f"expect_{kind}", "kwargs": kwargs, "severity": "critical", "meta": {"notes": "It matters."}}
        for kind, kwargs in kinds
    ]
    path = folder / "suite.json"
    path.write_text(json.dumps({"name": f"m.{stage}", "expectations": items}))
    return Evaluator(read_suite(path, stage), personal=personal)
