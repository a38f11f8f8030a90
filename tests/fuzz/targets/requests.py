"""What callers send to the server: heads, and bodies in every protocol."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any, Final
from unittest import mock

import numpy as np
import orjson
from uvicorn.config import Config
from uvicorn.server import ServerState

from include.hashing import Hashing
from include.serving.addresses import resolve, scope_of
from include.serving.http_connection import HttpConnection
from include.serving.limits import Limits
from include.serving.protocols import feedback
from include.serving.protocols.calls import Call, Headers, Protocol
from include.serving.protocols.mlflow import MLFLOW
from include.serving.protocols.rows import ROWS
from include.serving.protocols.v2 import V2
from include.serving.request_log import records
from include.serving.request_log.batches import Logged, feedback_table, inference_tables
from include.serving.request_log.records import Shape
from include.serving.server_connection import ServerConnection
from include.serving.validation import SCALARS, RequestRefused, check_content_type, check_length
from tests.fuzz.target import Broken, Target

COLUMNS: Final = {"n": "integer", "x": "number", "place": "string", "dry": "boolean", "seen_at": "timestamp"}
ENTITY: Final = {"place": "string", "seen_at": "timestamp", "n": "integer", "x": "number"}
LIMITS: Final = Limits(rows=60, body_bytes=100_000)
SHAPE: Final = Shape(model="m", version=1, columns=COLUMNS, entity=ENTITY, time_zone="America/New_York")
PERSONAL: Final = Shape(model="m", version=2, columns=COLUMNS, entity=ENTITY, personal=frozenset({"place", "n"}))
HASHING: Final = Hashing(b"k" * 32)
_ROW: Final = {"n": 3, "x": 0.25, "place": "é", "dry": True, "seen_at": "2013-10-01T05:00:00"}


def rows(data: bytes) -> None:
    """``{"rows": […]}``, perhaps compressed."""
    headers = {b"content-type": b"application/json"}
    _decode(ROWS, data, headers)
    if data[:2] in {b"\x1f\x8b", b"x\x9c"}:
        _decode(ROWS, data, {**headers, b"content-encoding": b"gzip" if data[:1] == b"\x1f" else b"deflate"})


def tensor(data: bytes) -> None:
    """The Open Inference Protocol: a line of the JSON part's length (or none), JSON, bytes."""
    length, line, body = data.partition(b"\n")
    if not line:
        length, body = b"", data
    headers = {b"content-type": b"application/json"}
    _decode(V2, body, {**headers, b"inference-header-content-length": length} if length else headers)


def mlflow(data: bytes) -> None:
    """MLflow's formats in JSON."""
    _decode(MLFLOW, data, {b"content-type": b"application/json; charset=utf-8"})


def mlflow_csv(data: bytes) -> None:
    """MLflow's CSV."""
    _decode(MLFLOW, data, {b"content-type": b"text/csv"})


def labels(data: bytes) -> None:
    """Labels, of numbers and of classes."""
    for classes in ((), ("early", "late", "1", "true")):
        try:
            found = feedback.decode(
                data, {b"content-type": b"application/json"}, ENTITY, LIMITS, "Europe/Berlin", classes
            )
        except RequestRefused as refused:
            _check_refusal(ROWS, refused)
            continue
        feedback.encode(len(found), "id")
        given = [[one.request_id, one.row, one.entity, one.label, one.at_us] for one in found]
        line = records.line({"kind": "feedback", "model": "m", "at": 1, "labels": given})
        record = records.read(line)
        if record is None:
            raise Broken(f"the log cannot read {line!r}")
        made = feedback_table([Logged("segment", 1, record)])
        if made.odd or sum(table.num_rows for table in made.by_version.values()) != len(found):
            raise Broken(f"the log does not keep {line!r}: {made.odd}")


def head(data: bytes) -> None:
    """Bytes on the server's port: whole requests, parts of some, or anything else."""
    _loop.run_until_complete(_converse(data))
    path = data[:200].decode("utf-8", "replace")
    resolve(path)
    scope_of(path)
    for check in (check_content_type, lambda value: check_length(value, LIMITS)):
        try:
            check(data[:60].decode("latin-1"))
        except RequestRefused as refused:
            _check_refusal(ROWS, refused)


def answer(data: bytes) -> None:
    """Bytes that a server answers to replay's connection."""
    _loop.run_until_complete(_receive(data))


def _decode(protocol: Protocol, body: bytes, headers: Headers) -> None:
    try:
        call = protocol.decode(body, headers, COLUMNS, LIMITS)
    except RequestRefused as refused:
        _check_refusal(protocol, refused)
        return
    _check_call(call)
    for classes, prediction in (((), 0.5), (("early", "late"), [0.25, 0.75])):
        predictions = np.array([prediction] * call.count)
        try:
            given = predictions.tolist() if protocol is ROWS else predictions
            encoded = protocol.encode(call, given, model="m", version=1, request_id="id", classes=classes)
        except RequestRefused as refused:
            _check_refusal(protocol, refused)
            continue
        if encoded.status != 200 or not encoded.body:
            raise Broken(f"{encoded}")
    for shape in (SHAPE, PERSONAL):
        _log(shape, call)


def _check_call(call: Call) -> None:
    if not 1 <= call.count <= LIMITS.rows or (call.rows is None) == (call.columns is None):
        raise Broken(f"{call}")
    found = call.as_rows()
    if len(found) != call.count or not all(SCALARS.issuperset(map(type, row.values())) for row in found):
        raise Broken(f"{call.count} rows: {found}")
    call.first_row()
    call.slice(0, 1)


def _check_refusal(protocol: Protocol, refused: RequestRefused) -> None:
    if refused.status not in {400, 413, 415, 422} or not orjson.loads(protocol.refuse(refused, "id").body):
        raise Broken(f"{refused.status}: {refused}")


def _log(shape: Shape, call: Call) -> None:
    """What was decoded must find its way through the log, whatever it is: nothing may be lost."""
    said = {
        "kind": "answer", "model": "m", "version": shape.version, "id": "id", "at": 1_380_000_000_000_000,
        "role": "champion",
        "deployment": None, "revision": 1, "count": call.count, "asked": False, "protocol": "rows", "latency": 7,
        "predictions": [0.5] * call.count, **records.inputs(shape, call, HASHING),
    }  # fmt: skip
    record = records.read(records.line(said))
    if record is None:
        raise Broken(f"the log cannot read {said}")
    made = inference_tables([Logged("segment", 1, record, shape)], HASHING, {})
    if made.odd or made.by_version[shape.version].num_rows != call.count:
        raise Broken(f"the log does not keep {said}: {made.odd}")


# ---- connections ----------------------------------------------------------------------------------------------------


class _Transport(asyncio.Transport):
    """Takes what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        pass


async def _application(scope: Any, receive: Any, send: Any) -> None:
    """Reads the body, as the gateway does, and answers."""
    resolve(scope["path"])
    more = scope["type"] == "http"
    while more:
        message = await receive()
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def _converse(data: bytes) -> None:
    transport = _Transport()
    connection = ServerConnection(_config, ServerState(), {})
    connection.connection_made(transport)
    half = len(data) // 2
    for part in (data[:half], data[half:]):
        if part and not transport.closed:
            connection.data_received(part)
            connection.awaited()
            await asyncio.sleep(0)
    connection.awaited()
    connection.connection_lost(None)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    if transport.written and not transport.written.startswith(b"HTTP/1.1 "):
        raise Broken(f"it answers {transport.written[:80]!r}")


async def _receive(data: bytes) -> None:
    connection = HttpConnection("here")
    connection.connection_made(_Transport())
    half = len(data) // 2
    for part in (data[:half], data[half:]):
        if not connection.closed:
            connection.data_received(part)
    connection.connection_lost(None)


def _failed(_: Any, context: dict[str, Any]) -> None:
    raise Broken(f"{context}")


_config = Config(_application, http=ServerConnection, log_config=None, access_log=False, lifespan="off", ws="none")
with mock.patch.object(Config, "setup_event_loop", create=True):
    _config.load()
_loop = asyncio.new_event_loop()

_TENSORS: Final = [
    {"name": "n", "shape": [1], "datatype": "INT64", "data": [3]},
    {"name": "x", "shape": [1, 1], "datatype": "FP64", "data": [[0.25]]},
    {"name": "place", "shape": [1], "datatype": "BYTES", "data": ["é"], "parameters": {"nulls": [0]}},
]


def _binary() -> bytes:
    raw = (3).to_bytes(8, "little")
    described = {"name": "n", "shape": [1], "datatype": "INT64", "parameters": {"binary_data_size": 8}}
    text = {"name": "place", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 6}}
    outputs = [{"name": "prediction", "parameters": {"binary_data": True}}]
    header = orjson.dumps({"id": "a", "inputs": [described, text], "outputs": outputs})
    return b"%d\n%s%s%s" % (len(header), header, raw, b"\2\0\0\0ab")


_NAMES: Final = [b'"%s"' % name.encode() for name in COLUMNS]
_JSON: Final = [
    b"null",
    b"true",
    b"1e400",
    b"-0.0",
    b"9223372036854775808",
    b'"\\ud800"',
    b'""',
    b"[]",
    b"{}",
    b"NaN",
    b"[[",
]
_V2: Final = [
    b'"%s"' % word.encode() for word in ("inputs", "outputs", "name", "shape", "datatype", "data", "parameters")
]
_V2 += [b'"binary_data_size"', b'"binary_data"', b'"nulls"', b'"id"', b'"BYTES"', b'"BOOL"', b'"INT64"', b'"UINT64"']
_V2 += [b'"FP16"', b'"FP32"', b'"INT8"', b'"prediction"', b'"probabilities"', b'"binary_data_output"']
_TIMES: Final = [
    b'"2013-10-01T05:00:00"',
    b'"0001-01-01T00:00:00+14:00"',
    b'"9999-12-31T23:59:59-14:00"',
    b'"2013-W01"',
]
_POST: Final = b"POST /models/m/predict HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
_HEAD: Final = [b"\r\n\r\n", b"Content-Length: ", b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"HTTP/1.0"]
_HEAD += [
    b"Upgrade: websocket\r\n",
    b"Connection: upgrade\r\n",
    b"Upgrade: h2c\r\n",
    b"GET ",
    b"CONNECT ",
    b"*",
    b"%00",
]
_HEAD += [b"http://a/", b"//"]
TARGETS: Final = (
    Target(
        name="rows",
        check=rows,
        seeds=lambda: [orjson.dumps({"rows": [_ROW]}), gzip.compress(orjson.dumps({"rows": [_ROW] * 3}), mtime=0)],
        words=[*_NAMES, *_JSON, *_TIMES, b'"rows"'],
    ),
    Target(
        name="tensor",
        check=tensor,
        seeds=lambda: [orjson.dumps({"inputs": _TENSORS}), _binary()],
        words=[*_NAMES, *_JSON, *_V2, *_TIMES],
    ),
    Target(
        name="mlflow",
        check=mlflow,
        seeds=lambda: [
            json.dumps(
                {"dataframe_split": {"columns": list(_ROW), "data": [list(_ROW.values())], "index": [0]}}
            ).encode(),
            json.dumps({"dataframe_records": [_ROW]}).encode(),
            json.dumps({"instances": [_ROW], "params": {}}).encode(),
            json.dumps({"inputs": {name: [value] * 40 for name, value in _ROW.items()}}).encode(),
            b'{"inputs": {"x": NaN}}',
        ],
        words=[
            *_NAMES,
            *_JSON,
            *_TIMES,
            b'"NaT"',
            b"Infinity",
            b'"dataframe_split"',
            b'"columns"',
            b'"data"',
            b'"inputs"',
        ],
    ),
    Target(
        name="mlflow-csv",
        check=mlflow_csv,
        seeds=lambda: [
            b"n,x,place,dry,seen_at\n3,0.25,A,true,2013-10-01\n,,,,\n",
            b'\xef\xbb\xbfx,x2\r\n"1,5","a""b"\r\n',
        ],
        words=[b"\r\n", b'""', b"NaN", b"inf", b"1e999", b"1_0", b"#N/A", b"\xd9\xa1", b"\0"],
    ),
    Target(
        name="feedback",
        check=labels,
        seeds=lambda: [
            b'{"labels": [{"request_id": "a", "row": 0, "label": 1, "at": "2013-10-01T05:00:00Z"}]}',
            b'{"labels": [{"entity": {"place": "A", "seen_at": null, "n": 1.0, "x": -0.0}, "label": "late"}]}',
        ],
        words=[*_NAMES, *_JSON, *_TIMES, b'"labels"', b'"label"', b'"entity"', b'"request_id"', b'"row"', b'"at"'],
    ),
    Target(
        name="head",
        check=head,
        seeds=lambda: [
            _POST + b"Content-Length: 2\r\n\r\n{}",
            _POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        ],
        words=_HEAD,
    ),
    Target(
        name="answer",
        check=answer,
        seeds=lambda: [
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
        ],
        words=[b"Transfer-Encoding: chunked\r\n\r\n", b"Connection: close\r\n", b"Upgrade: h2c\r\n", b"101 ", b"304 "],
    ),
)
