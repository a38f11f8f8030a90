"""CSV with a header line, as pandas writes and reads it: empty cells and pandas' words for missing are null."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from typing import Any

from include.serving.limits import Limits
from include.serving.validation import RequestRefused, check_rows

_MISSING = frozenset(
    {"", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>"}
    | {"N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null", "NaT"}
)
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


def csv_columns(body: bytes, columns: Mapping[str, str], limits: Limits) -> tuple[dict[str, list[Any]], int]:
    """The known columns of a CSV file by name, and the number of rows; other columns are ignored.

    A cell that is not of its column's type stays a text, for the model to refuse.

    :raises RequestRefused: 400 if it is no CSV in UTF-8, 413 for too many rows, 422 for a row of another length.
    """
    names, rows = _read(body, limits)
    twice = next((name for place, name in enumerate(names) if name in columns and name in names[:place]), None)
    if twice is not None:
        raise RequestRefused(422, "This column is there twice.", field=twice)
    table = {
        name: [_value(cell, columns[name]) for cell in cells]
        for name, cells in zip(names, zip(*rows, strict=True), strict=True)
        if name in columns
    }
    return table, len(rows)


def _read(body: bytes, limits: Limits) -> tuple[list[str], list[list[str]]]:
    """Header and rows, all of the header's length."""
    try:
        lines = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        names = next(lines, [])
        rows: list[list[str]] = []
        for cells in filter(None, lines):
            if len(cells) != len(names):
                problem = f"The row has {len(cells)} cells, the header line has {len(names)}."
                raise RequestRefused(422, problem, row=len(rows))
            rows.append(cells)
            if len(rows) > limits.rows:
                break
    except (UnicodeDecodeError, csv.Error) as error:
        raise RequestRefused(400, f"The body is not CSV in UTF-8: {error}.") from None
    if len(rows) > limits.rows:
        raise RequestRefused(413, f"There are more than {limits.rows} rows. Send several requests.")
    check_rows(len(rows), limits, "csv")
    return names, rows


def _value(cell: str, kind: str) -> Any:
    if cell in _MISSING:
        return None
    if kind == "boolean":
        return _BOOLEANS.get(cell.strip(), cell)
    if kind not in {"integer", "number"} or "_" in cell:
        return cell
    try:
        return int(cell) if kind == "integer" else _finite(cell)
    except ValueError:
        return _finite(cell)


def _finite(cell: str) -> float | str:
    """The cell as a finite number, or as it is."""
    try:
        number = float(cell)
    except ValueError:
        return cell
    return number if math.isfinite(number) else cell
