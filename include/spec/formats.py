"""The formats of a definition: reads one of any format that a release has written, as one of the newest.

Keys that are only added need no new format. One that goes away or changes its meaning does: a conversion from the
format before goes into :data:`CONVERSIONS`, and the definition need not be touched.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from include.spec.problems import DefinitionError, Problem
from include.spec.yaml_reader import Document, read_document

KEY: Final = "format"


def _drift_by_share(values: dict[str, Any]) -> None:
    """``monitoring.drift.psi`` of the first landed version is ``least_change`` since drift is judged by shares of rows.

    A share d of the rows that crosses the median has, in two bins, a PSI of about 4 d².
    """
    monitoring = values.get("monitoring")
    drift = monitoring.get("drift") if isinstance(monitoring, dict) else None
    if not isinstance(drift, dict) or "least_change" in drift:
        return
    psi = drift.get("psi")
    if isinstance(psi, (int, float)) and not isinstance(psi, bool) and 0 < psi < math.inf:
        del drift["psi"]
        drift["least_change"] = min(round(math.sqrt(psi) / 2, 3), 1.0)


CONVERSIONS: Final[dict[int, Callable[[dict[str, Any]], None]]] = {1: _drift_by_share}
"""By the format that it reads: what makes of its values those of the next one. It leaves what it does not understand,
which is then refused under the key's own name."""

NEWEST: Final = max(CONVERSIONS) + 1


def read_definition(path: Path) -> Document:
    """Read a definition's file; the values are those of the newest format, the lines those of the file.

    :raises DefinitionError: if it cannot be read, or is of a format that this release does not know.
    """
    document = read_document(path)
    found = document.values.get(KEY, 1)
    if isinstance(found, bool) or not isinstance(found, int) or not 1 <= found <= NEWEST:
        raise DefinitionError(path, [_unknown(document, found)])
    values = copy.deepcopy(document.values)
    for number in range(found, NEWEST):
        CONVERSIONS[number](values)
    return Document(values | {KEY: NEWEST}, document.lines)


def _unknown(document: Document, found: object) -> Problem:
    reads = f"This Noria reads formats 1 to {NEWEST}"
    if isinstance(found, int) and not isinstance(found, bool) and found > NEWEST:
        return Problem(document.line((KEY,)), KEY, f"the definition is of format {found}", f"{reads}; update Noria.")
    what = f"a format is a whole number from 1, not {str(found)[:40]!r}"
    return Problem(document.line((KEY,)), KEY, what, f"{reads}; write `format: {NEWEST}`.")
