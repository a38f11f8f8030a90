"""Labels that come back: ``{"labels": [{"request_id": …, "row": 0, "label": 1} | {"entity": {…}, "label": 1}]}``."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import orjson

from include.serving.limits import Limits
from include.serving.protocols.calls import Encoded, Headers
from include.serving.protocols.rows import check_json
from include.serving.request_log.writer import Label
from include.serving.routing import entity_key
from include.serving.validation import RequestRefused, check_keys, check_rows, inflate, kind_of, parse_json

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_KEYS = ("request_id", "row", "entity", "label", "at")
_INTEGERS = range(-(2**63), 2**63)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def decode(
    body: bytes,
    headers: Headers,
    entity: Mapping[str, str],
    limits: Limits,
    time_zone: str = "UTC",
    classes: Sequence[str] = (),
) -> list[Label]:
    """Read labels; several for the same row or entity are fine, the later one counts.

    :param entity: the model's entity columns with their types, empty if it has none.
    :param time_zone: the source's, in which an entity's time without zone is meant.
    :param classes: which a label names one of; it is kept as its place among them. None: labels are numbers.
    :raises RequestRefused: 415 for another content type, 400 for no JSON, 413 for too much, 422 for the rest, with
        the label's number as row.
    """
    check_json(headers)
    document = parse_json(inflate(body, headers.get(b"content-encoding"), limits), limits.json_parts())
    if not isinstance(document, dict):
        raise RequestRefused(422, f'The body must be an object with the key "labels", this is {kind_of(document)}.')
    check_keys(document, ("labels",))
    labels = document.get("labels")
    if not isinstance(labels, list):
        raise RequestRefused(422, '"labels" must be a list.', field="labels")
    check_rows(len(labels), limits, "labels")
    return [_label(number, label, entity, time_zone, classes) for number, label in enumerate(labels)]


def encode(accepted: int, request_id: str) -> Encoded:
    """``{"accepted", "request_id"}``."""
    return Encoded(orjson.dumps({"accepted": accepted, "request_id": request_id}))


def _label(number: int, given: object, entity: Mapping[str, str], time_zone: str, classes: Sequence[str]) -> Label:
    if not isinstance(given, dict):
        raise RequestRefused(422, f"A label must be an object, this is {kind_of(given)}.", row=number)
    check_keys(given, _KEYS, row=number)
    value = _class(given.get("label"), classes, number) if classes else given.get("label")
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise RequestRefused(422, "A label must be a finite number, true or false.", field="label", row=number)
    at = None if given.get("at") is None else _instant(given["at"], number)
    if ("request_id" in given) == ("entity" in given):
        raise RequestRefused(422, "A label needs either a request_id or an entity.", field="request_id", row=number)
    if "entity" in given:
        if "row" in given:
            raise RequestRefused(422, "A row belongs to a request_id, not to an entity.", field="row", row=number)
        return Label(label=float(value), entity=_entity(given["entity"], entity, number, time_zone), at_us=at)
    request_id, row = given["request_id"], given.get("row", 0)
    if not isinstance(request_id, str) or not _REQUEST_ID.fullmatch(request_id):
        problem = "A request id has 1 to 128 letters, digits, dots, dashes and underscores."
        raise RequestRefused(422, problem, field="request_id", row=number)
    if type(row) is not int or not 0 <= row < 2**31:
        raise RequestRefused(422, "A row is a number from 0.", field="row", row=number)
    return Label(label=float(value), request_id=request_id, row=row, at_us=at)


def _class(given: object, classes: Sequence[str], number: int) -> int:
    """The class's place; numbers and truth values are known by the text that the label's expression makes of them."""
    text = str(given).lower() if isinstance(given, bool) else str(given) if isinstance(given, str | int) else None
    if text not in classes:
        shown = f"{given!r:.80}" if text is not None else kind_of(given)
        raise RequestRefused(
            422, f"A label must be one of {', '.join(classes)}; this is {shown}.", field="label", row=number
        )
    return classes.index(text)


def _entity(given: object, columns: Mapping[str, str], number: int, time_zone: str) -> str:
    """The key of an entity: all its columns must be there; some may be null, not all."""
    if not columns:
        raise RequestRefused(422, "This model has no entity columns: use request_id.", field="entity", row=number)
    if not isinstance(given, dict):
        raise RequestRefused(422, f"An entity must be an object, this is {kind_of(given)}.", field="entity", row=number)
    check_keys(given, tuple(columns), row=number)
    for name, kind in columns.items():
        if name not in given:
            raise RequestRefused(422, "This entity column is missing; null is allowed.", field=name, row=number)
        value = given[name]
        if value is not None and not _READS[kind](value):
            raise RequestRefused(422, f"Expected {_WORDS[kind]} or null.", field=name, row=number)
    key = entity_key(columns, given, time_zone)
    if key is None:
        raise RequestRefused(422, "At least one entity column must have a value.", field="entity", row=number)
    return key


def _instant(given: object, number: int) -> int:
    """Microseconds since 1970; a time without zone is in UTC."""
    if isinstance(given, str) and _is_instant(given):
        instant = datetime.fromisoformat(given)
        return ((instant if instant.tzinfo else instant.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND
    raise RequestRefused(422, f"Expected {_WORDS['timestamp']}.", field="at", row=number)


def _is_instant(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_integer(value: object) -> bool:
    if isinstance(value, float):
        return value.is_integer() and int(value) in _INTEGERS
    return type(value) is int and value in _INTEGERS


_READS: dict[str, Callable[[object], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": _is_integer,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "timestamp": _is_instant,
}
_WORDS = {
    "string": "a text",
    "integer": "a whole number of 64 bits",
    "number": "a number",
    "boolean": "true or false",
    "timestamp": "an ISO 8601 date and time such as 2013-10-01T05:00:00",
}
