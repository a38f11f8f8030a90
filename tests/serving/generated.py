"""Strategies for requests of every kind: right ones, right ones with something spoiled, and garbage."""

from __future__ import annotations

import copy
import gzip
import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
from hypothesis import strategies as st

Headers = dict[bytes, bytes]
JSON = b"application/json"


@dataclass
class Request:
    """One request to be sent.

    :param count: number of rows if the request is right and must be answered with 200, else None.
    """

    method: str
    path: str
    body: bytes = b""
    headers: Headers = field(default_factory=dict)
    count: int | None = None


# ---- values ---------------------------------------------------------------------------------------------------------

RIGHT: dict[str, list[Any]] = {
    "n": [0, 3, -7, 3.0, 9 * 10**17, None],
    "x": [0.25, -0.0, 3, -1.5, 1e308, 5e-324, None],
    "place": ["A", "B", "C", "unseen", "é𝛑", "", "\0", None],
    "dry": [True, False, None],
    "seen_at": ["2013-10-01T05:00:00", "2013-10-01 05:00", "2013-10-01", "2013-10-01T05:00:00.5+02:00", None],
}
WRONG: list[Any] = [
    *(2**63, -(2**63), 2**63 - 1, 1e300, 1.5, "3", True, 7, "", "yesterday", "x" * 3000, None),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2013-02-30", "NaN", "\ud800", [], [1], {}, {"a": {}}),
    *(float("nan"), float("inf"), 10**400, "24:00", "2013-W01-1", "-0001-01-01", "2013-10-01T05:00:00" + "0" * 50),
]
TYPES = {
    "n": ["INT64", "INT64", "INT32", "FP64", "INT8"],
    "x": ["FP64", "FP64", "FP32", "INT64", "FP16"],
    "place": ["BYTES"],
    "dry": ["BOOL"],
    "seen_at": ["BYTES"],
}
_DTYPES = {"INT64": "<i8", "INT32": "<i4", "INT8": "<i1", "FP64": "<f8", "FP32": "<f4", "FP16": "<f2", "BOOL": "?"}
_KEYS = [*RIGHT, "who", "rows", "inputs", "outputs", "data", "shape", "datatype", "parameters", "label", "entity", "é"]

junk = st.recursive(
    st.sampled_from(WRONG) | st.integers(-3, 3) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=2),
    max_leaves=3,
)
_right_row = st.tuples(*(st.sampled_from(values) for values in RIGHT.values())).map(lambda row: dict(zip(RIGHT, row)))  # noqa: B905


@st.composite
def rows(draw: Callable[..., Any]) -> tuple[list[dict[str, Any]], bool]:
    """Rows, and whether all of them are right."""
    found = draw(st.lists(_right_row, min_size=1, max_size=3))
    shape = draw(st.integers(0, 19))
    if shape == 0:
        found = [dict(row) for row in found * 20]
    if shape < 4:
        found = [{**row, "who": "w"} for row in found]
    if shape > 4:
        return found, True
    spoiled = found[draw(st.integers(0, len(found) - 1))]
    spoiled[draw(st.sampled_from(list(RIGHT)))] = draw(st.sampled_from(WRONG))
    return found, False


# ---- documents ------------------------------------------------------------------------------------------------------


def _nodes(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of everything inside a document."""
    inner = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [found for key, value in inner for found in ((*path, key), *_nodes(value, (*path, key)))][:200]


def _spoil(draw: Callable[..., Any], document: Any) -> Any:
    """The document with one of its parts replaced, removed, renamed or doubled."""
    paths = _nodes(document)
    if not paths:
        return draw(junk)
    document = copy.deepcopy(document)
    *above, last = paths[draw(st.integers(0, len(paths) - 1))]
    holder = document
    for key in above:
        holder = holder[key]
    match draw(st.integers(0, 3)):
        case 0:
            del holder[last]
        case 1 if isinstance(holder, dict):
            holder[draw(st.sampled_from(_KEYS))] = holder.pop(last)
        case 2 if isinstance(holder, list):
            holder.insert(0, holder[last])
        case _:
            holder[last] = draw(junk)
    return document


def encode(document: Any) -> bytes:
    """JSON; what strict JSON cannot say is written as Python's json module writes it."""
    try:
        if "NaN" not in repr(document) and "inf" not in repr(document):
            return orjson.dumps(document)
    except TypeError:
        pass
    return json.dumps(document).encode()


@st.composite
def _finished(
    draw: Callable[..., Any], path: str, body: bytes, headers: Headers, count: int | None, how: int
) -> Request:
    """A request as it is, compressed, or with damaged bytes or head."""
    if how == 0 and body:
        place = draw(st.integers(0, len(body) - 1))
        damage = draw(st.sampled_from([b"", b"\xff", b"\0", b"{", b'"', b"9" * 30, body[:5]]))
        keeps = draw(st.booleans())
        return Request("POST", path, body[:place] + damage + (body[place + 1 :] if keeps else b""), headers)
    if how == 1:
        name = draw(
            st.sampled_from([b"content-type", b"content-encoding", b"inference-header-content-length", b"x-noria-key"])
        )
        values = [
            b"",
            b"text/csv",
            b"text/plain",
            b"gzip",
            b"deflate",
            b"br",
            b"0",
            b"7",
            b"-1",
            b"9" * 40,
            b"\xff\xfe",
        ]
        return Request("POST", path, body, {**headers, name: draw(st.sampled_from(values))})
    if how == 2:
        return Request("POST", path, gzip.compress(body, 1), {**headers, b"content-encoding": b"gzip"}, count)
    if how == 3:
        accepted = {b"content-encoding": b"deflate", b"accept-encoding": b"gzip, br"}
        return Request("POST", path, zlib.compress(body, 1), {**headers, **accepted}, count)
    return Request("POST", path, body, headers, count)


def _of(draw: Callable[..., Any], paths: list[str], document: Any, count: int | None) -> Request:
    """A JSON request from a right document: mostly as it is."""
    how = draw(st.integers(0, 24))
    if how > 19:
        document, count = _spoil(draw, document), None
    return draw(_finished(draw(st.sampled_from(paths)), encode(document), {b"content-type": JSON}, count, how))


@st.composite
def row_requests(draw: Callable[..., Any]) -> Request:
    """Predictions and explanations of rows."""
    found, right = draw(rows())
    paths = ["/models/m/predict"] * 6 + ["/models/strict/predict", "/models/m/versions/1/predict", "/models/m/explain"]
    paths += ["/models/m/versions/2/predict"]
    request = _of(draw, paths, {"rows": found}, len(found) if right else None)
    if "strict" in request.path or "versions/2" in request.path:
        request.count = None
    return request


@st.composite
def mlflow_requests(draw: Callable[..., Any]) -> Request:
    """MLflow's formats."""
    found, right = draw(rows())
    names = list(found[0])
    whole = {name for row in found for name in row} == set(names)
    match draw(st.integers(0, 5)):
        case 0:
            document: Any = {
                "dataframe_split": {"columns": names, "data": [[row.get(name) for name in names] for row in found]}
            }
        case 1:
            document = {"inputs": {name: [row.get(name) for row in found] for name in names}}
        case 2:
            return _csv(draw, found)
        case form:
            document = {["dataframe_records", "instances", "inputs"][form - 3]: found}
    return _of(draw, ["/models/m/invocations"], document, len(found) if right and whole else None)


def _csv(draw: Callable[..., Any], found: list[dict[str, Any]]) -> Request:
    lines = [",".join(RIGHT)] + [",".join(_cell(row[name]) for name in RIGHT) for row in found]
    body = "\n".join(lines).encode("utf-8", "replace")
    return draw(_finished("/models/m/invocations", body, {b"content-type": b"text/csv"}, None, draw(st.integers(0, 9))))


def _cell(value: Any) -> str:
    return "" if value is None else str(value)


@st.composite
def tensor_requests(draw: Callable[..., Any]) -> Request:
    """The Open Inference Protocol, in JSON and in bytes."""
    found, right = draw(rows())
    binary, tail = draw(st.booleans()), b""
    tensors = []
    for name in found[0]:
        values = [row.get(name) for row in found]
        datatypes = TYPES.get(name, ["BYTES"])
        datatype = draw(st.sampled_from([one for one in datatypes if _raw(values, one) is not None] or datatypes))
        tensor: dict[str, Any] = {"name": name, "shape": [len(values)], "datatype": datatype}
        raw = _raw(values, datatype)
        right = right and raw is not None
        if raw is None or not binary:
            tensors.append({**tensor, "data": _said(values, datatype)})
        else:
            nulls = [row for row, value in enumerate(values) if value is None]
            tensors.append(
                {**tensor, "parameters": {"binary_data_size": len(raw), **({"nulls": nulls} if nulls else {})}}
            )
            tail += raw
    document: Any = {"inputs": tensors, "parameters": {"binary_data_output": draw(st.booleans())}}
    paths = ["/v2/models/m/infer", "/v2/models/m/versions/1/infer"]
    count = len(found) if right else None
    if not tail:
        return _of(draw, paths, document, count)
    how = draw(st.integers(0, 24))
    if how > 20:
        document, count = _spoil(draw, document), None
    header = encode(document)
    head = {b"content-type": b"application/octet-stream", b"inference-header-content-length": str(len(header)).encode()}
    return draw(_finished(draw(st.sampled_from(paths)), header + tail, head, count, how))


def _said(values: list[Any], datatype: str) -> list[Any]:
    """The values as JSON data of the datatype: no 3.0 among whole numbers."""
    if not datatype.startswith("INT"):
        return values
    return [int(value) if isinstance(value, float) and value.is_integer() else value for value in values]


def _raw(values: list[Any], datatype: str) -> bytes | None:
    """The tensor's bytes, None if it cannot say these values."""
    plain = [(0 if datatype != "BYTES" else "") if value is None else value for value in values]
    try:
        if datatype == "BYTES":
            texts = [value.encode() for value in plain]
            return b"".join(struct.pack("<I", len(text)) + text for text in texts)
        array = np.array(plain)
        if not all(isinstance(value, bool) is (datatype == "BOOL") or value is None for value in values):
            return None
        if array.ndim != 1 or array.dtype.kind not in {"BOOL": "b", "F": "iuf", "I": "iu"}.get(datatype, "iuf"):
            return None
        with np.errstate(all="ignore"):
            cast = array.astype(_DTYPES[datatype])
            return cast.tobytes() if np.array_equal(cast, array) else None
    except (AttributeError, ValueError, TypeError, OverflowError):
        return None


@st.composite
def other_requests(draw: Callable[..., Any]) -> Request:
    """Labels, documents, wrong addresses and methods, garbage."""
    kind = draw(st.integers(0, 6))
    if kind == 6:
        return _of(draw, ["/models/m/explain"], {"request_id": draw(st.sampled_from(["a", "b-c.d_1", "é"]))}, None)
    if kind < 2:
        label = {"label": draw(st.sampled_from([0, 1, True, 0.5]))}
        by_request = {"request_id": draw(st.sampled_from(["a", "b-c.d_1"])), "row": draw(st.integers(0, 3)), **label}
        by_entity = {"entity": {"place": draw(st.sampled_from(RIGHT["place"][:5])), "who": "w"}, **label}
        labels = draw(st.lists(st.sampled_from([by_request, by_entity]), min_size=1, max_size=3))
        return _of(draw, ["/models/m/feedback"], {"labels": labels}, len(labels))
    if kind == 2:
        return Request("GET", draw(st.sampled_from(DOCUMENTS)), headers={b"accept": b"*/*"})
    path = draw(st.sampled_from([*POSTS, *DOCUMENTS, *NOWHERE]))
    method = draw(st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "BREW"]))
    if kind == 3:
        return Request(method, path, encode(draw(junk)), {b"content-type": JSON})
    body = draw(st.binary(max_size=60))
    head = draw(st.dictionaries(st.sampled_from(_HEADS), st.binary(max_size=20), max_size=3))
    return Request("POST" if kind == 4 else method, path, body, {b"content-type": JSON, **head})


_HEADS = [b"content-type", b"content-length", b"content-encoding", b"accept-encoding", b"authorization"]
_HEADS += [b"x-request-id", b"x-noria-key", b"inference-header-content-length", b"expect", b"host", b"cookie"]
POSTS = [
    *("/models/m/predict", "/models/m/versions/1/predict", "/v2/models/m/infer", "/v2/models/m/versions/1/infer"),
    *("/models/m/invocations", "/models/m/explain", "/models/m/feedback"),
]
DOCUMENTS = [
    *(
        "/models",
        "/models/m",
        "/health/live",
        "/health/ready",
        "/metrics",
        "/docs",
        "/openapi.json",
        "/models/m/feedback",
    ),
    *("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/m", "/v2/models/m/versions/1", "/v2/models/m/ready"),
    *("/v2/models/m/versions/1/ready",),
]
NOWHERE = [
    *(
        "/",
        "//",
        "/models/",
        "/models/unknown",
        "/models/unknown/predict",
        "/models/m/versions/99/predict",
        "/v2/models",
    ),
    *("/models/m/versions/x/predict", "/models/m/versions/-1/predict", "/models/m/versions/" + "9" * 5000 + "/predict"),
    *("/v2/models/m/versions/1e9/infer", "/models/m/versions/١/predict", "/models/\0/predict", "/models/../predict"),
    *("/v2/models/unknown/infer", "/models/unknown/invocations", "/v2/models/m/config", "/v2/repository/index", "/é"),
    *("/v2/models/m/versions/x", "/v2/models/m/versions/99999999999999999999/ready", "/models/m/predict/"),
]
