"""The Open Inference Protocol's codec by itself: what tritonclient writes is read, everything else is refused."""

from __future__ import annotations

import gzip
import struct
import zlib
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput, InferResult

from include.serving.limits import Limits
from include.serving.protocols.calls import SMALL, Call
from include.serving.protocols.metadata import DATATYPES, model_metadata
from include.serving.protocols.v2 import V2
from include.serving.validation import RequestRefused

COLUMNS = {"n": "integer", "x": "number", "place": "string", "dry": "boolean", "seen_at": "timestamp", "who": "string"}
LIMITS = Limits(rows=1000, body_bytes=200_000)
MANY = 3 * SMALL
ARRAYS: dict[str, np.ndarray[Any, Any]] = {
    "n": np.arange(MANY),
    "x": np.linspace(-1, 1, MANY),
    "place": np.array([f"é{number}" for number in range(MANY)], dtype=object),
    "dry": np.arange(MANY) % 2 == 0,
}
TYPES = {"n": "INT64", "x": "FP64", "place": "BYTES", "dry": "BOOL"}


def written(
    count: int, *, binary: bool = True, column: bool = False, **options: Any
) -> tuple[bytes, dict[bytes, bytes]]:
    """Body and headers as tritonclient writes them."""
    tensors = []
    for name, values in ARRAYS.items():
        array = values[:count].reshape(count, 1) if column else values[:count]
        tensor = InferInput(name, list(array.shape), TYPES[name])
        tensor.set_data_from_numpy(array, binary_data=binary)
        tensors.append(tensor)
    body, length = InferenceServerClient.generate_request_body(tensors, **options)
    return body, {} if length is None else {b"inference-header-content-length": str(length).encode()}


def decode(body: bytes, headers: dict[bytes, bytes] | None = None) -> Call:
    return V2.decode(body, headers or {}, COLUMNS, LIMITS)


def tensor(name: str, datatype: str, data: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [len(data)], "data": data, **more}


def asked(*tensors: dict[str, Any], **more: Any) -> Call:
    return decode(orjson.dumps({"inputs": list(tensors), **more}))


def refused(body: bytes, headers: dict[bytes, bytes] | None = None) -> RequestRefused:
    with pytest.raises(RequestRefused) as found:
        decode(body, headers)
    return found.value


def refused_tensor(**changes: Any) -> RequestRefused:
    given_tensor = {key: value for key, value in (tensor("x", "FP64", [1.0]) | changes).items() if value is not ...}
    return refused(orjson.dumps({"inputs": [given_tensor]}))


@pytest.mark.parametrize("count", [1, SMALL, MANY])
@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("column", [True, False])
def test_what_tritonclient_writes_is_read_value_by_value(count: int, binary: bool, column: bool) -> None:
    call = decode(*written(count, binary=binary, column=column))
    assert call.count == count
    assert (call.rows is None) is (count > SMALL)
    assert call.as_rows() == [{name: values[row] for name, values in ARRAYS.items()} for row in range(count)]
    assert call.first_row() == call.as_rows()[0]
    for value, kind in zip(call.first_row().values(), (int, float, str, bool), strict=True):
        assert type(value) is kind
    assert call.slice(count - 1, count + 5).as_rows() == call.as_rows()[-1:]


def test_many_rows_stay_arrays() -> None:
    for binary in (True, False):
        columns = decode(*written(MANY, binary=binary)).columns
        assert columns is not None
        assert {name: type(values) for name, values in columns.items()} == {
            "n": np.ndarray,
            "x": np.ndarray,
            "place": list,
            "dry": np.ndarray,
        }


@pytest.mark.parametrize("datatype", ["INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"])
@pytest.mark.parametrize("count", [2, MANY])
def test_every_integer_type_keeps_its_extremes(datatype: str, count: int) -> None:
    info = np.iinfo(datatype.lower())
    array = np.array(([info.min, info.max] * count)[:count], dtype=datatype.lower())
    for binary in (True, False):
        wanted = InferInput("n", [count], datatype)
        wanted.set_data_from_numpy(array, binary_data=binary)
        body, length = InferenceServerClient.generate_request_body([wanted])
        headers = {} if length is None else {b"inference-header-content-length": str(length).encode()}
        assert [row["n"] for row in decode(body, headers).as_rows()] == array.tolist()
    assert asked(tensor("n", datatype, [info.max])).first_row() == {"n": info.max}
    for beyond in (info.min - 1, info.max + 1):
        assert refused(orjson.dumps({"inputs": [tensor("n", datatype, [0, 2.0 * beyond])]})).row == 1
        if abs(beyond) < 2**63:
            assert refused(orjson.dumps({"inputs": [tensor("n", datatype, [0, beyond])]})).field == "n"


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64"])
def test_floats_are_the_same_in_json_and_in_bytes(datatype: str) -> None:
    array = np.array([0.1, -2.5, 3], dtype=f"float{datatype[2:]}")
    wanted = InferInput("x", [3], datatype)
    wanted.set_data_from_numpy(array)
    body, length = InferenceServerClient.generate_request_body([wanted])
    in_bytes = decode(body, {b"inference-header-content-length": str(length).encode()})
    assert in_bytes.rows == asked(tensor("x", datatype, [0.1, -2.5, 3])).rows
    assert in_bytes.rows == [{"x": value} for value in array.tolist()]


@pytest.mark.parametrize(("datatype", "large"), [("FP16", 1e6), ("FP32", 1e300)])
def test_number_beyond_its_float_is_refused(datatype: str, large: float) -> None:
    found = refused(orjson.dumps({"inputs": [tensor("x", datatype, [0.0, large])]}))
    assert (found.status, found.field, found.row) == (422, "x", 1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64"])
def test_nan_and_infinity_in_bytes_are_refused_with_the_column(value: float, datatype: str) -> None:
    wanted = InferInput("x", [3], datatype)
    wanted.set_data_from_numpy(np.array([0, value, 1], dtype=f"float{datatype[2:]}"))
    body, length = InferenceServerClient.generate_request_body([wanted])
    found = refused(body, {b"inference-header-content-length": str(length).encode()})
    assert (found.status, found.field, found.row) == (422, "x", 1)


@pytest.mark.parametrize("count", [3, MANY])
def test_nulls_come_as_json_null_or_by_the_parameter(count: int) -> None:
    expected = [{"x": None if row == 1 else 0.5} for row in range(count)]
    data = [row["x"] for row in expected]
    assert asked(tensor("x", "FP64", data)).as_rows() == expected
    zeroed = [0.5 if value is None else value for value in data]
    assert asked(tensor("x", "FP64", zeroed, parameters={"nulls": [1]})).as_rows() == expected
    raw = np.array([np.nan if value is None else value for value in data]).tobytes()
    header = orjson.dumps(
        {
            "inputs": [
                {
                    "name": "x",
                    "shape": [count],
                    "datatype": "FP64",
                    "parameters": {"binary_data_size": len(raw), "nulls": [1, 1]},
                }
            ]
        }
    )
    length = str(len(header)).encode()
    assert decode(header + raw, {b"inference-header-content-length": length}).as_rows() == expected


@pytest.mark.parametrize("datatype", ["INT64", "FP32", "BYTES", "BOOL"])
def test_every_datatype_can_be_null(datatype: str) -> None:
    assert asked(tensor("x", datatype, [None])).rows == [{"x": None}]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"datatype": "BF16"}, 422),
        ({"datatype": None}, 422),
        ({"datatype": ["FP64"]}, 422),
        ({"shape": [2]}, 422),
        ({"shape": [0], "data": []}, 422),
        ({"shape": [-1]}, 422),
        ({"shape": []}, 422),
        ({"shape": [1, 2]}, 422),
        ({"shape": [1, 1, 1]}, 422),
        ({"shape": 1}, 422),
        ({"shape": [True]}, 422),
        ({"shape": [1.0]}, 422),
        ({"shape": [1001]}, 413),
        ({"shape": [10**18]}, 413),
        ({"data": ...}, 422),
        ({"data": 1.0}, 422),
        ({"data": {}}, 422),
        ({"data": "1"}, 422),
        ({"data": ["1"]}, 422),
        ({"data": [True]}, 422),
        ({"data": [{}]}, 422),
        ({"data": [[1.0, 2.0]]}, 422),
        ({"data": [[]]}, 422),
        ({"data": [[[1.0]]]}, 422),
        ({"parameters": 1}, 422),
        ({"parameters": {"nulls": [1]}}, 422),
        ({"parameters": {"nulls": 0}}, 422),
        ({"parameters": {"nulls": [True]}}, 422),
        ({"parameters": {"binary_data_size": 8}}, 422),
        ({"parameters": {"binary_data_size": 8}, "data": ...}, 400),
        ({"parameters": {"shared_memory_region": "r"}, "data": ...}, 422),
        ({"more": 1}, 422),
    ],
)
def test_bad_tensor_is_refused_with_its_name(changes: dict[str, Any], status: int) -> None:
    found = refused_tensor(**changes)
    assert (found.status, found.field) == (status, "x"), found.problem


@pytest.mark.parametrize(
    ("document", "status", "field"),
    [
        (1, 422, None),
        ([], 422, None),
        ({}, 422, "inputs"),
        ({"inputs": []}, 422, "inputs"),
        ({"inputs": {}}, 422, "inputs"),
        ({"inputs": [1]}, 422, "inputs"),
        ({"inputs": [{}]}, 422, "inputs"),
        ({"inputs": [{"name": 1}]}, 422, "inputs"),
        ({"inputs": [tensor("x", "FP64", [1.0])] * 2}, 422, "x"),
        ({"inputs": [tensor("x", "FP64", [1.0])] * 100}, 422, "inputs"),
        ({"inputs": [tensor(f"y{place}", "FP64", [1.0]) for place in range(100)]}, 422, "y0"),
        ({"inputs": [tensor("x", "FP64", [1.0]), tensor("n", "INT64", [1, 2])]}, 422, "n"),
        ({"inputs": [tensor("n", "INT64", [1.5])]}, 422, "n"),
        ({"inputs": [tensor("dry", "BOOL", [1])]}, 422, "dry"),
        ({"inputs": [tensor("place", "BYTES", [1])]}, 422, "place"),
        ({"inputs": [tensor("x", "FP64", [1.0])], "id": 7}, 422, "id"),
        ({"inputs": [tensor("x", "FP64", [1.0])], "id": "x" * 1025}, 422, "id"),
        ({"inputs": [tensor("x", "FP64", [1.0])], "outputs": 1}, 422, "outputs"),
        ({"inputs": [tensor("x", "FP64", [1.0])], "outputs": ""}, 422, "outputs"),
        ({"inputs": [tensor("x", "FP64", [1.0])], "outputs": [1]}, 422, "outputs"),
        ({"inputs": [tensor("x", "FP64", [1.0])], "outputs": [{}]}, 422, "outputs"),
        ({"inputs": [tensor("x", "FP64", [1.0])], "outputs": [{"name": "score"}]}, 422, "score"),
        ({"inputs": [tensor("x", "FP64", [1.0])], "outputs": [{"name": "prediction"}] * 2}, 422, "prediction"),
        ({"inputs": [tensor("x", "FP64", [1.0])], "parameters": []}, 422, "parameters"),
        ({"inputs": [tensor("x", "FP64", [1.0])], "parameters": {"binary_data_output": 1}}, 422, "parameters"),
        ({"inputs": [tensor("x", "FP64", [1.0])], "output": []}, 422, "output"),
    ],
)
def test_bad_request_is_refused(document: Any, status: int, field: str | None) -> None:
    found = refused(orjson.dumps(document))
    assert (found.status, found.field) == (status, field), found.problem


def test_outputs_by_classification_or_shared_memory_are_refused() -> None:
    for output in (InferRequestedOutput("prediction", class_count=1), InferRequestedOutput("prediction")):
        if not output._parameters.get("classification"):
            output.set_shared_memory("region", 8)
        body, headers = written(1, outputs=[output])
        assert (refused(body, headers).status, refused(body, headers).field) == (422, "prediction")


@pytest.mark.parametrize("length", [b"", b"x", b"-1", b"0", b"1000000", b"9" * 30])
def test_wrong_length_of_the_json_part_is_refused(length: bytes) -> None:
    body, _ = written(1)
    assert refused(body, {b"inference-header-content-length": length}).status == 400


def test_bytes_that_do_not_add_up_are_refused() -> None:
    body, headers = written(3)
    assert refused(body[:-1], headers).field == "dry"
    assert refused(body + b"1", headers).status == 400
    assert refused(body[:-1] + b"\x02", headers).row == 2
    assert refused(body).status == 400


def texts(*elements: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


@pytest.mark.parametrize(
    ("raw", "status", "row"),
    [
        (texts(b"a"), 400, None),
        (texts(b"a", b"b", b"c"), 400, 2),
        (texts(b"a", b"\xff"), 422, 1),
        (texts(b"a", b"\xed\xa0\x80"), 422, 1),
        (texts(b"a") + b"\x01\x00", 400, 1),
        (texts(b"a") + struct.pack("<I", 2**32 - 1), 400, 1),
        (b"", 400, None),
    ],
)
def test_broken_bytes_elements_are_refused(raw: bytes, status: int, row: int | None) -> None:
    head = {"name": "place", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)}}
    header = orjson.dumps({"inputs": [head]})
    found = refused(header + raw, {b"inference-header-content-length": str(len(header)).encode()})
    assert (found.status, found.field, found.row) == (status, "place", row)


@pytest.mark.parametrize("size", [-1, 7, 9, 1.5, "8", True, None])
def test_wrong_size_of_a_binary_tensor_is_refused(size: object) -> None:
    head = {"name": "x", "shape": [1], "datatype": "FP64", "parameters": {"binary_data_size": size}}
    header = orjson.dumps({"inputs": [head]})
    found = refused(header + b"\0" * 8, {b"inference-header-content-length": str(len(header)).encode()})
    assert (found.status in {400, 422}, found.field) == (True, "x")


@pytest.mark.parametrize(("encoding", "compress"), [(b"gzip", gzip.compress), (b"deflate", zlib.compress)])
def test_compressed_requests_are_read(encoding: bytes, compress: Any) -> None:
    body, headers = written(MANY)
    assert (
        decode(compress(body), {**headers, b"content-encoding": encoding}).as_rows() == decode(body, headers).as_rows()
    )


def test_compressed_bomb_is_refused_without_being_unpacked() -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    assert refused(bomb, {b"content-encoding": b"gzip"}).status == 413
    assert refused(zlib.compress(b" " * 50_000_000), {b"content-encoding": b"deflate"}).status == 413


_SMALL = gzip.compress(b"{}", mtime=0)  # without the time, which would be in the test's name


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        (b"br", b"{}", 415),
        (b"gzip, gzip", b"{}", 415),
        (b"gzip", b"{}", 400),
        (b"gzip", b"", 400),
        (b"deflate", b"{}", 400),
        (b"gzip", _SMALL[:-3], 400),
        (b"gzip", _SMALL + b"more", 400),
        (b"gzip", _SMALL * 2, 400),
        (b"deflate", zlib.compress(b"{}") + b"more", 400),
    ],
)
def test_damaged_or_unknown_compression_is_refused(encoding: bytes, body: bytes, status: int) -> None:
    assert refused(body, {b"content-encoding": encoding}).status == status


@pytest.mark.parametrize(
    "kind", [b"text/csv", b"application/x-www-form-urlencoded", b"application/json; charset=latin-1"]
)
def test_other_content_types_are_refused(kind: bytes) -> None:
    assert refused(b"{}", {b"content-type": kind}).status == 415


# ---- answers --------------------------------------------------------------------------------------------------------


def answer(
    count: int, headers: dict[bytes, bytes] | None = None, **options: Any
) -> tuple[InferResult, dict[bytes, bytes]]:
    """The answer as tritonclient reads it, and its headers."""
    body, given_headers = written(count, **options)
    call = decode(body, given_headers | (headers or {}))
    encoded = V2.encode(call, [row / 7 for row in range(count)], model="m", version=3, request_id="made")
    found = dict(encoded.headers)
    length = found.get(b"inference-header-content-length")
    encoding = found.get(b"content-encoding")
    result = InferResult.from_response_body(
        encoded.body,
        header_length=None if length is None else int(length),
        content_encoding=None if encoding is None else encoding.decode(),
    )
    return result, found


@pytest.mark.parametrize("count", [1, 1000])
@pytest.mark.parametrize(
    "outputs", [None, [InferRequestedOutput("prediction")], [InferRequestedOutput("prediction", False)]]
)
@pytest.mark.parametrize("accepted", [None, b"gzip", b"deflate", b"br, gzip;q=0.5", b"gzip;q=0, identity"])
def test_tritonclient_reads_the_answer(count: int, outputs: Any, accepted: bytes | None) -> None:
    count = min(count, MANY)
    headers = {} if accepted is None else {b"accept-encoding": accepted}
    found, _ = answer(count, headers, outputs=outputs)
    predictions = found.as_numpy("prediction")
    assert predictions is not None
    assert predictions.dtype == np.float64
    assert predictions.tolist() == [row / 7 for row in range(count)]
    assert found.get_response()["model_version"] == "3"


def test_large_answers_are_compressed_only_on_request() -> None:
    call = asked(tensor("x", "FP64", [0.5] * 1000))
    for accepted, encoding in ((b"gzip", b"gzip"), (b"deflate", b"deflate"), (b"gzip;q=0", None), (None, None)):
        call.options.accepted = accepted
        encoded = V2.encode(call, [row / 7 for row in range(1000)], model="m", version=1, request_id="r")
        assert dict(encoded.headers).get(b"content-encoding") == encoding


def test_own_id_is_echoed_and_used_if_it_is_a_plain_one() -> None:
    for own, used in (("order-7", "order-7"), ("two words", None)):
        assert answer(1, request_id=own)[0].get_response()["id"] == own
        assert asked(tensor("x", "FP64", [1.0]), id=own).request_id == used
    assert answer(1)[0].get_response()["id"] == "made"
    assert asked(tensor("x", "FP64", [1.0]), id="").options.id is None


def test_whole_numbers_may_be_written_with_a_point() -> None:
    for datatype in ("INT64", "UINT8"):
        assert asked(tensor("n", datatype, [3.0, None, 4])).rows == [{"n": 3}, {"n": None}, {"n": 4}]
    assert type(asked(tensor("n", "INT64", [3.0])).first_row()["n"]) is int


def test_prediction_that_is_no_number_is_null() -> None:
    call = asked(tensor("x", "FP64", [1.0]))
    document = orjson.loads(V2.encode(call, [float("nan")], model="m", version=1, request_id="r").body)
    assert document["outputs"][0]["data"] == [None]


def test_refusal_has_the_protocols_shape() -> None:
    encoded = V2.refuse(RequestRefused(422, "wrong", field="x", row=1), "r")
    assert encoded.status == 422
    assert orjson.loads(encoded.body) == {"error": "wrong", "field": "x", "row": 1, "request_id": "r"}


def test_metadata_names_a_datatype_for_every_type_that_the_codec_reads() -> None:
    document = model_metadata("m", [2, 3], {"n": "integer", "seen_at": "timestamp"}, {"n": "integer", "who": "string"})
    assert [inner["name"] for inner in document["inputs"]] == ["n", "seen_at", "who"]
    assert document["versions"] == ["2", "3"]
    values = {"string": "a", "integer": 1, "number": 0.5, "boolean": True, "timestamp": "2013-10-01"}
    for kind, datatype in DATATYPES.items():
        assert asked(tensor("x", datatype, [values[kind]])).rows == [{"x": values[kind]}]


# ---- anything at all ------------------------------------------------------------------------------------------------

junk = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
tensors = st.fixed_dictionaries(
    {
        "name": st.sampled_from(list(COLUMNS)) | junk,
        "datatype": st.sampled_from(["INT8", "INT64", "FP32", "FP64", "BOOL", "BYTES"]) | junk,
        "shape": st.lists(st.integers(0, 3), min_size=1, max_size=2) | junk,
    },
    optional={
        "data": st.lists(junk, max_size=3),
        "parameters": junk
        | st.fixed_dictionaries({"binary_data_size": st.integers(-1, 30) | junk}, optional={"nulls": junk}),
        "more": junk,
    },
)


@hypothesis_settings(max_examples=400, deadline=None, database=None)
@given(inputs=st.lists(tensors, max_size=3) | junk, rest=st.binary(max_size=40), more=junk, cut=st.integers(-2, 2))
def test_junk_is_read_or_refused_and_nothing_else(inputs: object, rest: bytes, more: object, cut: int) -> None:
    header = orjson.dumps({"inputs": inputs, "parameters": more} if cut else {"inputs": inputs})
    try:
        call = decode(header + rest, {b"inference-header-content-length": str(len(header) + cut // 2).encode()})
    except RequestRefused as error:
        orjson.dumps(error.to_document())
        status = error.status
    else:
        orjson.dumps(call.as_rows())
        status = 200 if len(call.as_rows()) == call.count else 500
    assert status in {200, 400, 413, 422}
