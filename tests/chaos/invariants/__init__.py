"""The checker of what must always hold (DESIGN, section 7): it reads what is on disk and in the databases by itself.

Where it can it does not ask the product's own code: Delta logs are read by ``deltalake``, sources by DuckDB, tables by
plain SQL, segments of the request log as text. It is for a moment at which the work is finished.
"""

from __future__ import annotations

from tests.chaos.case import Breach
from tests.chaos.invariants import leftovers, requests, rows, state, versions
from tests.chaos.invariants.scene import Answer, Scene

__all__ = ["Answer", "Breach", "Scene", "check"]


def check(scene: Scene) -> list[Breach]:
    """All that does not hold; empty for a sound world."""
    return [breach for module in (rows, versions, state, requests, leftovers) for breach in module.check(scene)]
