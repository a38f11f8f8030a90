"""Small compressed bodies that would fill the memory when they are read are refused before that."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from include.serving.limits import Limits
from include.serving.protocols import feedback
from include.serving.protocols.mlflow import MLFLOW
from include.serving.protocols.rows import ROWS
from include.serving.protocols.v2 import V2
from include.serving.validation import RequestRefused

LIMITS = Limits()
COLUMNS = {f"x{number}": "number" for number in range(40)}
PACKED = {b"content-type": b"application/json", b"content-encoding": b"gzip"}
DECODE: dict[str, Callable[[bytes], Any]] = {
    "rows": lambda body: ROWS.decode(body, PACKED, COLUMNS, LIMITS),
    "inputs": lambda body: V2.decode(body, PACKED, COLUMNS, LIMITS),
    "instances": lambda body: MLFLOW.decode(body, PACKED, COLUMNS, LIMITS),
    "labels": lambda body: feedback.decode(body, PACKED, {}, LIMITS),
}


@pytest.mark.parametrize("key", DECODE)
@pytest.mark.parametrize("part", [b"[]", b"{}"])
@pytest.mark.parametrize("last", [b"1", b"NaN"])
def test_bomb_of_lists_or_objects_is_refused_unread(key: str, part: bytes, last: bytes) -> None:
    plain = b'{"' + key.encode() + b'": [' + (part + b",") * 5_000_000 + last + b"]}"
    assert len(plain) < LIMITS.body_bytes
    body = gzip.compress(plain, 1)
    assert len(body) < 80_000
    with pytest.raises(RequestRefused, match="lists and objects") as found:
        DECODE[key](body)
    assert found.value.status == 413


def test_largest_right_requests_are_read() -> None:
    rows = [{"x": "{[" * 5}] * LIMITS.rows
    assert DECODE["rows"](gzip.compress(orjson.dumps({"rows": rows}), 1)).count == LIMITS.rows
    nested = [
        {"name": name, "datatype": "FP64", "shape": [LIMITS.rows, 1], "data": [[0.5]] * LIMITS.rows} for name in COLUMNS
    ]
    assert DECODE["inputs"](gzip.compress(orjson.dumps({"inputs": nested}), 1)).count == LIMITS.rows
