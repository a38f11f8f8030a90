"""What a request must look like: everything wrong with it is a 4xx that names row and field, found before the model."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from itertools import chain
from typing import Any

import orjson

from include.serving.limits import Limits

Row = dict[str, Any]
SCALARS = frozenset({str, int, float, bool, type(None)})
_GZIP, _ZLIB, _RAW = 31, 15, -15
_KINDS: dict[type, str] = {dict: "an object", list: "a list", str: "a text", type(None): "null", bool: "a boolean"}


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
        self.field = None if field is None else short(field)
        self.row = row

    def to_document(self) -> dict[str, Any]:
        """The answer's JSON."""
        return {"error": self.problem, "field": self.field, "row": self.row}


# ---- headers and bytes ----------------------------------------------------------------------------------------------


def media_type(value: str | None) -> str:
    """The media type that a header Content-Type names, without parameters; empty if there is none.

    :raises RequestRefused: 415 for another charset than UTF-8.
    """
    kind, _, rest = (value or "").partition(";")
    for parameter in rest.split(";") if rest else ():
        name, _, given = parameter.partition("=")
        if name.strip().lower() == "charset" and given.strip().strip('"').lower() not in {"", "utf-8", "utf8"}:
            raise RequestRefused(415, "The body must be in UTF-8.")
    return kind.strip().lower()


def check_content_type(value: str | None) -> None:
    """Only JSON is read.

    :raises RequestRefused: 415 for anything else.
    """
    if value != "application/json" and media_type(value) != "application/json":
        raise RequestRefused(415, 'Send the header "Content-Type: application/json" and JSON in UTF-8.')


def check_length(value: str | None, limits: Limits) -> None:
    """Refuse a body that says itself that it is too large.

    :raises RequestRefused: 413 if it is too large, 400 if the header is no number.
    """
    if value is None:
        return
    if not (value.isascii() and value.isdecimal()):
        raise RequestRefused(400, "The header Content-Length is not a number.")
    if len(value) > 18 or int(value) > limits.body_bytes:
        raise too_large(limits)


def too_large(limits: Limits) -> RequestRefused:
    """The refusal of a body beyond the limit."""
    return RequestRefused(413, f"The body is larger than {limits.body_bytes} bytes. Send the rows in several requests.")


def check_rows(count: int, limits: Limits, field: str) -> None:
    """Refuse a request without rows or with too many.

    :param field: the part of the request that holds them.
    :raises RequestRefused: 422 for none, 413 for too many.
    """
    if count < 1:
        raise RequestRefused(422, "There must be at least one row.", field=field)
    if count > limits.rows:
        raise RequestRefused(413, f"{count} rows are more than {limits.rows}. Send several requests.", field=field)


def inflate(body: bytes, encoding: bytes | None, limits: Limits) -> bytes:
    """The body without its Content-Encoding (gzip or deflate), never more than the limit allows.

    :raises RequestRefused: 415 for another encoding, 400 for damaged bytes, 413 for more bytes than the limit.
    """
    name = (encoding or b"").strip().lower()
    if name in {b"", b"identity"}:
        return body
    if name in {b"gzip", b"x-gzip"}:
        return _inflated(body, _GZIP, limits)
    if name == b"deflate":
        try:
            return _inflated(body, _ZLIB, limits)
        except zlib.error:
            return _inflated(body, _RAW, limits)
    raise RequestRefused(415, "The Content-Encoding must be gzip, deflate or identity.")


def _inflated(body: bytes, window: int, limits: Limits) -> bytes:
    """Decompress the one stream that the body must be.

    :raises zlib.error: only for zlib's window, so that raw deflate can be tried.
    """
    stream = zlib.decompressobj(window)
    try:
        plain = stream.decompress(body, limits.body_bytes + 1)
    except zlib.error:
        if window == _ZLIB:
            raise
        raise RequestRefused(400, "The compressed body is damaged, or not of its Content-Encoding.") from None
    if len(plain) > limits.body_bytes:
        raise too_large(limits)
    if not stream.eof:
        raise RequestRefused(400, "The compressed body ends too early.")
    if stream.unused_data:
        raise RequestRefused(400, "There is something after the end of the compressed body.")
    return plain


def parse_json(body: bytes, most: int) -> Any:
    """The JSON document of a body.

    :param most: how many lists and objects it may have; brackets in texts count too.
    :raises RequestRefused: 400 if it is none, 413 if it has more.
    """
    if len(body) > most and body.count(b"[") + body.count(b"{") > most:
        raise RequestRefused(
            413, f"The body has more than {most} lists and objects. Send the rows in several requests."
        )
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestRefused(400, f"The body is not JSON (NaN and infinity are not; write null): {error}.") from None


# ---- structure ------------------------------------------------------------------------------------------------------


def parse_rows(body: bytes, limits: Limits) -> list[Row]:
    """The rows of ``{"rows": [{…}, …]}``: flat objects of texts, finite numbers, booleans and nulls.

    :raises RequestRefused: 400 if it is not JSON, 413 for too many rows, 422 for anything else that is wrong.
    """
    document = parse_json(body, limits.json_parts())
    if not isinstance(document, dict):
        raise RequestRefused(422, 'The body must be an object: {"rows": [{"column": value, …}, …]}.')
    if len(document) != 1 or "rows" not in document:
        check_keys(document, ("rows",))
    return rows_in(document.get("rows"), limits, "rows")


def check_keys(document: dict[str, Any], known: tuple[str, ...], *, row: int | None = None) -> None:
    """Refuse an object with other keys than the known ones.

    :raises RequestRefused: 422 that names the first unknown key.
    """
    for key in document:
        if key not in known:
            words = " and ".join(f'"{name}"' for name in known)
            raise RequestRefused(422, f"Only the keys {words} may be here.", field=key, row=row)


def rows_in(rows: object, limits: Limits, field: str) -> list[Row]:
    """Check a list of flat objects.

    :param field: the key that holds it.
    :raises RequestRefused: 413 for too many rows, 422 for anything else that is wrong.
    """
    if not isinstance(rows, list) or not rows:
        raise RequestRefused(422, f'"{field}" must be a list with at least one row.', field=field)
    if len(rows) > limits.rows:
        check_rows(len(rows), limits, field)
    try:
        if SCALARS.issuperset(map(type, chain.from_iterable(map(dict.values, rows)))):
            return rows
    except TypeError:
        pass  # one of them is no object
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise RequestRefused(422, f"A row must be an object, this one is {kind_of(row)}.", row=number)
        if not SCALARS.issuperset(map(type, row.values())):
            name = next(name for name, value in row.items() if type(value) not in SCALARS)
            raise not_scalar(row[name], field=name, row=number)
    return rows


def check_values(values: Iterable[object], field: str) -> frozenset[type]:
    """Refuse a column with lists or objects in it; returns the types of its values.

    :raises RequestRefused: 422 that names the column and the row.
    """
    kinds = frozenset(map(type, values))
    if not kinds <= SCALARS:
        row, value = next((row, value) for row, value in enumerate(values) if type(value) not in SCALARS)
        raise not_scalar(value, field=field, row=row)
    return kinds


def check_finite(values: Iterable[object], field: str) -> None:
    """Refuse infinities in a column that a lenient JSON reader read.

    :raises RequestRefused: 422 that names the column and the row.
    """
    for row, value in enumerate(values):
        if isinstance(value, float) and not math.isfinite(value):
            raise RequestRefused(
                422, "A number must be finite; write null for what is not known.", field=field, row=row
            )


def not_scalar(value: object, *, field: str, row: int | None) -> RequestRefused:
    """The refusal of a list or an object where a value belongs."""
    problem = f"A value must be text, number, true, false or null, this one is {kind_of(value)}."
    return RequestRefused(422, problem, field=field, row=row)


def kind_of(value: object) -> str:
    """What kind of JSON a value is, in words."""
    return _KINDS.get(type(value), "a number")


def short(name: str) -> str:
    """A name of the caller's as an answer may repeat it: cut, and without what UTF-8 cannot write."""
    clean = name if name.isascii() else name.encode("utf-8", "replace").decode("utf-8")
    return clean if len(clean) <= 100 else f"{clean[:100]}…"
