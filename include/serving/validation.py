"""What a request must look like: everything wrong with it is a 4xx that names row and field, found before the model."""

from __future__ import annotations

import math
from typing import Any

import orjson

from include.serving.limits import Limits

Row = dict[str, Any]
_SCALARS = (str, int, float, bool, type(None))


class RequestRefused(Exception):
    """The request cannot be answered.

    :param status: HTTP status, 4xx.
    :param problem: a sentence for the caller.
    :param field: the column that is wrong, if one is.
    :param row: number of the row that is wrong, counted from 0, if one is.
    """

    def __init__(self, status: int, problem: str, *, field: str | None = None, row: int | None = None) -> None:
        super().__init__(problem)
        self.status = status
        self.problem = problem
        self.field = field
        self.row = row

    def to_document(self) -> dict[str, Any]:
        """The answer's JSON."""
        return {"error": self.problem, "field": self.field, "row": self.row}


def check_content_type(value: str | None) -> None:
    """Only JSON is read.

    :raises RequestRefused: 415 for anything else.
    """
    kind, _, parameters = (value or "").partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if kind.strip().lower() != "application/json" or charset not in {"", "utf-8", "utf8"}:
        raise RequestRefused(415, 'Send the header "Content-Type: application/json" and JSON in UTF-8.')


def check_length(value: str | None, limits: Limits) -> None:
    """Refuse a body that says itself that it is too large.

    :raises RequestRefused: 413 if it is too large, 400 if the header is no number.
    """
    if value is None:
        return
    if not value.isdecimal():
        raise RequestRefused(400, "The header Content-Length is not a number.")
    if len(value) > 18 or int(value) > limits.body_bytes:
        raise too_large(limits)


def too_large(limits: Limits) -> RequestRefused:
    """The refusal of a body beyond the limit."""
    return RequestRefused(413, f"The body is larger than {limits.body_bytes} bytes. Send the rows in several requests.")


def parse_rows(body: bytes, limits: Limits) -> list[Row]:
    """The rows of ``{"rows": [{…}, …]}``: flat objects of texts, finite numbers, booleans and nulls.

    :raises RequestRefused: 400 if it is not JSON, 413 for too many rows, 422 for anything else that is wrong.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestRefused(400, f"The body is not JSON (NaN and infinity are not; write null): {error}.") from None
    if not isinstance(document, dict):
        raise RequestRefused(422, 'The body must be an object: {"rows": [{"column": value, …}, …]}.')
    unknown = [key for key in document if key != "rows"]
    if unknown:
        raise RequestRefused(422, 'The body may only have the key "rows".', field=_short(unknown[0]))
    rows = document.get("rows")
    if not isinstance(rows, list) or not rows:
        raise RequestRefused(422, '"rows" must be a list with at least one row.', field="rows")
    if len(rows) > limits.rows:
        raise RequestRefused(413, f"{len(rows)} rows are more than {limits.rows}. Send several requests.", field="rows")
    for number, row in enumerate(rows):
        _check_row(number, row)
    return rows


def _check_row(number: int, row: object) -> None:
    if not isinstance(row, dict):
        raise RequestRefused(422, f"A row must be an object, this one is {_kind(row)}.", row=number)
    for name, value in row.items():
        if not isinstance(value, _SCALARS):
            problem = f"A value must be text, number, true, false or null, this one is {_kind(value)}."
            raise RequestRefused(422, problem, field=_short(name), row=number)
        if isinstance(value, float) and not math.isfinite(value):
            raise RequestRefused(422, "A number must be finite.", field=_short(name), row=number)


def _kind(value: object) -> str:
    return {dict: "an object", list: "a list", str: "a text", type(None): "null", bool: "a boolean"}.get(
        type(value), "a number"
    )


def _short(name: str) -> str:
    return name if len(name) <= 100 else f"{name[:100]}…"
