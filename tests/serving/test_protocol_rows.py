"""The row API's codec, the checks that all protocols share, and the shape that a request has inside the server."""

from __future__ import annotations

import gzip
from typing import Any

import numpy as np
import orjson
import pytest

from include.serving.limits import Limits
from include.serving.openapi import extend, paths
from include.serving.protocols.calls import SMALL, Call, Encoded, from_columns
from include.serving.protocols.compression import compress
from include.serving.protocols.rows import ROWS
from include.serving.validation import RequestRefused, check_length, media_type, short

JSON = {b"content-type": b"application/json"}
LIMITS = Limits(rows=10, body_bytes=10_000)


def decode(body: object, headers: dict[bytes, bytes] | None = None) -> Call:
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return ROWS.decode(data, JSON if headers is None else headers, {}, LIMITS)


def refused(body: object, headers: dict[bytes, bytes] | None = None) -> RequestRefused:
    with pytest.raises(RequestRefused) as found:
        decode(body, headers)
    return found.value


def test_rows_are_passed_on_untouched() -> None:
    rows = [{"a": 1, "b": None}, {"a": 2.5, "b": "é", "c": True}]
    call = decode({"rows": rows})
    assert (call.count, call.rows, call.columns, call.as_rows()) == (2, rows, None, rows)
    assert decode(b'{"rows": [{"a": 1, "a": 2}]}').rows == [{"a": 2}]
    assert decode(gzip.compress(orjson.dumps({"rows": rows})), JSON | {b"content-encoding": b"gzip"}).rows == rows


@pytest.mark.parametrize(
    ("body", "status", "field", "row"),
    [
        (b"", 400, None, None),
        (b'{"rows": [{"x": NaN}]}', 400, None, None),
        (b'{"rows": [{"x": "\\ud800"}]}', 400, None, None),
        (b'{"rows": [{"x": "\xed\xa0\x80"}]}', 400, None, None),
        (b'{"rows": ' + b"[" * 3000, 400, None, None),
        ({"rows": [{}] * 11}, 413, "rows", None),
        ({"rows": [{}], "params": 1}, 422, "params", None),
        ({"rows": [{"x": 1}, {"x": [1]}]}, 422, "x", 1),
        ({"rows": [{"x" * 200: []}]}, 422, "x" * 100 + "…", 0),
    ],
)
def test_bad_rows_are_refused(body: object, status: int, field: str | None, row: int | None) -> None:
    found = refused(body)
    assert (found.status, found.field, found.row) == (status, field, row)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (b"application/json; charset=UTF-8", None),
        (b'Application/JSON ; charset="utf-8"', None),
        (b"application/json; version=1", None),
        (b"application/json; charset=latin-1", 415),
        (b"application/jsonp", 415),
        (b"", 415),
        (b"\xff\x00", 415),
        (None, 415),
    ],
)
def test_content_type(kind: bytes | None, status: int | None) -> None:
    headers = {} if kind is None else {b"content-type": kind}
    if status is None:
        assert decode({"rows": [{}]}, headers).count == 1
    else:
        assert refused({"rows": [{}]}, headers).status == status


@pytest.mark.parametrize(
    ("value", "status"), [("10001", 413), ("9" * 30, 413), ("-1", 400), ("1e3", 400), ("", 400), ("²", 400), ("٣", 400)]
)
def test_content_length(value: str, status: int) -> None:
    with pytest.raises(RequestRefused) as found:
        check_length(value, LIMITS)
    assert found.value.status == status
    check_length("10000", LIMITS)
    check_length(None, LIMITS)


def test_names_in_refusals_can_always_be_written() -> None:
    assert short("a\ud800b") == "a?b"
    assert orjson.dumps(RequestRefused(422, "no", field="\udfff" * 500).to_document())
    assert media_type(None) == ""


def test_answer_and_refusal() -> None:
    call = decode({"rows": [{}, {}]})
    for predictions in ([0.5, float("nan")], np.array([0.5, np.nan])):
        encoded = ROWS.encode(call, predictions, model="m", version=2, request_id="r")
        expected = {"model": "m", "version": 2, "predictions": [0.5, None], "request_id": "r"}
        assert orjson.loads(encoded.body) == expected
    encoded = ROWS.refuse(RequestRefused(422, "no", field="x", row=0), "r")
    assert orjson.loads(encoded.body) == {"error": "no", "field": "x", "row": 0, "request_id": "r"}
    assert (encoded.status, encoded.content_type) == (422, b"application/json")


def test_columns_become_rows_only_if_they_are_few() -> None:
    few, many = (
        from_columns({"a": np.arange(count), "b": ["x"] * count}, count, request_id="r") for count in (SMALL, SMALL + 1)
    )
    assert (few.columns, many.rows) == (None, None)
    for call in (few, many):
        assert call.request_id == "r"
        assert call.first_row() == {"a": 0, "b": "x"}
        assert call.as_rows()[5] == {"a": 5, "b": "x"}
        part = call.slice(3, 5)
        assert (part.count, part.as_rows(), part.request_id) == (2, [{"a": 3, "b": "x"}, {"a": 4, "b": "x"}], "r")
        assert orjson.dumps(call.as_rows())
    assert from_columns({}, 2).as_rows() == [{}, {}]


@pytest.mark.parametrize("accepted", [b"", b"*", b"\xff", b"gzip;q=0.0", b"gzip;q=", b",;,", b"identity", None])
def test_odd_accept_encodings_get_plain_answers(accepted: bytes | None) -> None:
    large = Encoded(b" " * 100_000)
    assert compress(large, accepted).body == large.body


def references(document: Any) -> set[str]:
    if isinstance(document, dict):
        own = {document["$ref"]} if isinstance(document.get("$ref"), str) else set()
        return own.union(*(references(inner) for inner in document.values()))
    return set().union(*(references(inner) for inner in document)) if isinstance(document, list) else set()


def test_openapi_describes_every_address_and_refers_to_what_is_there() -> None:
    document = extend({"openapi": "3.1.0", "info": {}, "paths": {"/docs": {}}, "components": {"schemas": {"A": {}}}})
    assert set(document["paths"]) == {"/docs", *paths()}
    assert "A" in document["components"]["schemas"]
    for reference in references(document):
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"]
    for path, item in paths().items():
        declared = {parameter["name"] for parameter in item.get("parameters", [])}
        assert declared == {part.strip("{}") for part in path.split("/") if part.startswith("{")}
        assert {"get", "post"} & set(item)
