"""MLflow's formats: predictions equal to its own scoring server's, and clear refusals where that fails or guesses."""

from __future__ import annotations

import gzip
import json
import math
from typing import Any

import mlflow
import mlflow.pyfunc
import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from mlflow.pyfunc import scoring_server
from mlflow.utils.proto_json_utils import dump_input_data

from include.serving.limits import Limits
from include.serving.protocols.calls import SMALL, Call
from include.serving.protocols.mlflow import MLFLOW
from include.serving.validation import RequestRefused
from include.training.packaged_model import TabularModel
from tests.serving.live import COLUMNS, GOOD_ROW, Logged, raw_rows

JSON, CSV = {b"content-type": b"application/json"}, {b"content-type": b"text/csv"}
LIMITS = Limits(rows=1000, body_bytes=200_000)
NAMES = list(COLUMNS)
ROWS: list[dict[str, Any]] = [
    GOOD_ROW,
    {**GOOD_ROW, "x": None, "place": None},
    {**GOOD_ROW, "n": 7, "x": 0.125, "place": "C", "dry": False, "seen_at": "2013-10-02 17:30:00"},
]
SPLIT = {"columns": NAMES, "data": [list(row.values()) for row in ROWS]}


@pytest.fixture(scope="module")
def served(tracking_url: str, logged_models: list[Logged]) -> Any:
    """The model as MLflow serves it."""
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(tracking_url)
    yield mlflow.pyfunc.load_model(logged_models[0].model_uri)
    mlflow.set_tracking_uri(before)


def ours(served: Any, call: Call) -> list[float]:
    """Predictions of the very model that MLflow serves, for a decoded call."""
    model: TabularModel = served.unwrap_python_model()
    return list(
        model.predict_columns(call.columns) if call.columns is not None else model.predict_rows(call.rows or [])
    )


def decode(body: object, headers: dict[bytes, bytes] | None = None, columns: dict[str, str] | None = None) -> Call:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return MLFLOW.decode(data, headers or JSON, columns or COLUMNS, LIMITS)


def refused(body: object, headers: dict[bytes, bytes] | None = None) -> RequestRefused:
    with pytest.raises(RequestRefused) as found:
        decode(body, headers)
    return found.value


@pytest.mark.parametrize(
    "document",
    [
        {"dataframe_split": SPLIT},
        {"dataframe_split": {**SPLIT, "index": [5, 6, 7]}},
        {"dataframe_split": {"columns": NAMES[::-1], "data": [row[::-1] for row in SPLIT["data"]]}},
        {"dataframe_split": {"columns": [*NAMES, "id"], "data": [[*row, 1] for row in SPLIT["data"]]}},
        {"dataframe_records": ROWS},
        {"dataframe_records": [{**row, "id": 1} for row in ROWS]},
        {"instances": ROWS},
        {"inputs": {name: [row[name] for row in ROWS] for name in NAMES}},
        {"inputs": ROWS},
        {"inputs": GOOD_ROW},
        {"inputs": ROWS, "params": {"temperature": 1}},
        {"dataframe_records": [{**GOOD_ROW, "n": 3.0}]},
    ],
)
def test_answers_are_those_of_mlflows_own_server(served: Any, document: dict[str, Any]) -> None:
    body = json.dumps(document)
    theirs = scoring_server.invocations(body, "application/json", served, served.metadata.get_input_schema())
    call = decode(body.encode())
    encoded = MLFLOW.encode(call, ours(served, call), model="m", version=1, request_id="r")
    assert theirs.status == 200
    assert json.loads(encoded.body) == json.loads(theirs.response)
    assert (encoded.content_type.decode(), encoded.status) == (theirs.mimetype, 200)


@pytest.mark.parametrize("count", [SMALL, 5 * SMALL])
def test_what_mlflows_client_writes_is_read_with_its_nan(served: Any, count: int) -> None:
    frame = raw_rows(count)
    frame.loc[1, "x"] = math.nan
    frame.loc[2, "seen_at"] = pd.NaT
    body = dump_input_data(frame)
    assert "NaN" in body
    assert "NaT" in body
    call = decode(body.encode())
    assert (call.rows is None) is (count > SMALL)
    assert call.as_rows()[1]["x"] is None
    assert call.as_rows()[2]["seen_at"] is None
    assert ours(served, call) == served.predict(frame)["prediction"].tolist()


def test_many_numbers_without_null_become_arrays() -> None:
    count = 2 * SMALL
    inputs = {"n": [*range(count)], "x": [0.5] * count, "dry": [True] * count, "place": ["A"] * count}
    columns = decode({"inputs": inputs}).columns
    assert columns is not None
    assert [type(columns[name]) for name in inputs] == [np.ndarray, np.ndarray, np.ndarray, list]
    assert decode({"inputs": {**inputs, "n": [2**63, *range(1, count)]}}).as_rows()[0]["n"] == 2**63
    assert decode({"inputs": {**inputs, "x": [None, *range(1, count)]}}).as_rows()[0]["x"] is None


@pytest.mark.parametrize("count", [3, 5 * SMALL])
@pytest.mark.parametrize("index", [True, False])
def test_csv_of_pandas_is_read(served: Any, count: int, index: bool) -> None:
    frame = raw_rows(count)
    frame.loc[1, "place"] = None
    call = decode(frame.to_csv(index=index).encode(), CSV)
    assert ours(served, call) == served.predict(frame)["prediction"].tolist()


def test_csv_keeps_what_is_not_of_its_type_for_the_model_to_refuse(served: Any) -> None:
    good = {"n": "3", "x": "0.25", "place": "B", "dry": "TRUE", "seen_at": "2013-10-01T05:00:00"}
    for name, value in {"n": "3.5", "x": "abc", "dry": "1", "seen_at": "soon", "n ": "1_0"}.items():
        cells = good | {name.strip(): value}
        call = decode((",".join(cells) + "\n" + ",".join(cells.values()) + "\n").encode(), CSV)
        with pytest.raises(ValueError, match=name.strip()):
            ours(served, call)
    for value in ("inf", "-inf", "1e999", "9" * 5000):
        cells = good | {"x": value}
        assert decode((",".join(cells) + "\n" + ",".join(cells.values())).encode(), CSV).first_row()["x"] == value


@pytest.mark.parametrize(
    ("body", "status", "field", "row"),
    [
        (b"{", 400, None, None),
        (b"\xff", 400, None, None),
        (b'{"inputs": NaN', 400, None, None),
        (b'{"inputs": {"x": [NaN, "\\ud800"]}}', 400, None, None),
        (b'{"inputs": {"x": [NaN, 99999999999999999999]}}', 400, None, None),
        (b'{"inputs": NaN, "params": ' + b"[" * 20_000 + b"]" * 5_000 + b"}", 400, None, None),
        ([], 422, None, None),
        (None, 422, None, None),
        ({}, 422, None, None),
        ({"rows": ROWS}, 422, "rows", None),
        ({"inputs": ROWS, "instances": ROWS}, 422, "inputs", None),
        ({"dataframe_split": []}, 422, "dataframe_split", None),
        ({"dataframe_split": {"data": [[1]]}}, 422, "columns", None),
        ({"dataframe_split": {"columns": [1], "data": [[1]]}}, 422, "columns", None),
        ({"dataframe_split": {"columns": ["x", "x"], "data": [[1, 2]]}}, 422, "x", None),
        ({"dataframe_split": {"columns": ["x"]}}, 422, "data", None),
        ({"dataframe_split": {"columns": ["x"], "data": []}}, 422, "data", None),
        ({"dataframe_split": {"columns": ["x"], "data": [[1], [1, 2]]}}, 422, "data", 1),
        ({"dataframe_split": {"columns": ["x"], "data": [1]}}, 422, "data", 0),
        ({"dataframe_split": {"columns": ["x"], "data": [[1], [[]]]}}, 422, "x", 1),
        ({"dataframe_split": {"columns": ["x"], "data": [[1]] * 1001}}, 413, "data", None),
        ({"dataframe_split": {"columns": ["x"], "data": [[1]], "dtype": 1}}, 422, "dtype", None),
        ({"dataframe_records": {}}, 422, "dataframe_records", None),
        ({"dataframe_records": []}, 422, "dataframe_records", None),
        ({"dataframe_records": [1]}, 422, None, 0),
        ({"dataframe_records": [{"x": {}}]}, 422, "x", 0),
        ({"instances": [[1, 2]]}, 422, "instances", 0),
        ({"instances": 1}, 422, "instances", None),
        ({"inputs": 1}, 422, "inputs", None),
        ({"inputs": {"x": [1], "n": [1, 2]}}, 422, "x", None),
        ({"inputs": {"x": [1], "n": 1}}, 422, "n", None),
        ({"inputs": {"x": []}}, 422, "inputs", None),
        ({"inputs": {"x": [[1]]}}, 422, "x", 0),
        ({"inputs": {"x": [0.5, math.inf]}}, 422, "x", 1),
        ({"inputs": [{"x": -math.inf}]}, 422, "x", 0),
    ],
)
def test_bad_json_is_refused_with_field_and_row(body: object, status: int, field: str | None, row: int | None) -> None:
    found = refused(body)
    assert (found.status, found.field, found.row) == (status, field, row), found.problem


@pytest.mark.parametrize(
    ("body", "status", "field", "row"),
    [
        (b"", 422, "csv", None),
        (b"n,x\n", 422, "csv", None),
        (b"n,x\n1\n", 422, None, 0),
        (b"n,x\n1,2\n\n1,2,3\n", 422, None, 1),
        (b"n,n\n1,2\n", 422, "n", None),
        (b"n\n\xff\n", 400, None, None),
        (b'n\n"1\n', 400, None, None),
        (b"place\n" + b"a" * 150_000, 400, None, None),
        (b"n\n" + b"1\n" * 1001, 413, None, None),
    ],
)
def test_bad_csv_is_refused(body: bytes, status: int, field: str | None, row: int | None) -> None:
    found = refused(body, CSV)
    assert (found.status, found.field, found.row) == (status, field, row), found.problem


@pytest.mark.parametrize("kind", [b"", b"text/plain", b"application/vnd.apache.parquet", b"text/csv; charset=utf-16"])
def test_other_content_types_are_refused(kind: bytes) -> None:
    assert refused(b"{}", {b"content-type": kind}).status == 415


def test_entity_columns_are_kept_and_unknown_ones_dropped() -> None:
    columns = {**COLUMNS, "who": "string"}
    for document in ({"inputs": {"who": ["a"], "id": [1]}}, {"instances": [{"who": "a", "id": 1}]}):
        assert decode(document, columns=columns).as_rows() == [{"who": "a"}]


def test_compressed_request_and_answer() -> None:
    body = gzip.compress(json.dumps({"inputs": {"x": [0.5] * 500}}).encode())
    call = decode(body, JSON | {b"content-encoding": b"gzip", b"accept-encoding": b"gzip"})
    encoded = MLFLOW.encode(call, [0.5] * 500, model="m", version=1, request_id="r")
    assert orjson.loads(gzip.decompress(encoded.body)) == {"predictions": [{"prediction": 0.5}] * 500}


def test_refusal_has_mlflows_shape() -> None:
    for status, code in ((422, "BAD_REQUEST"), (404, "RESOURCE_DOES_NOT_EXIST"), (503, "TEMPORARILY_UNAVAILABLE")):
        encoded = MLFLOW.refuse(RequestRefused(status, "wrong", field="x", row=1), "r")
        expected = {"error_code": code, "message": "wrong", "field": "x", "row": 1, "request_id": "r"}
        assert (encoded.status, orjson.loads(encoded.body)) == (status, expected)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*NAMES, "data"]), inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(
    st.sampled_from(["dataframe_split", "dataframe_records", "instances", "inputs", "params"]), junk, max_size=2
)


@hypothesis_settings(max_examples=300, deadline=None, database=None)
@given(document=documents | junk)
def test_junk_is_read_or_refused_and_nothing_else(document: object) -> None:
    try:
        orjson.dumps(decode(document).as_rows(), option=orjson.OPT_SERIALIZE_NUMPY)
        status = 200
    except RequestRefused as error:
        orjson.dumps(error.to_document())
        status = error.status
    assert status in {200, 400, 413, 422}


@hypothesis_settings(max_examples=200, deadline=None, database=None)
@given(text=st.text(alphabet='nx,"\n\r1.5\0ab', max_size=60))
def test_any_csv_is_read_or_refused(text: str) -> None:
    try:
        orjson.dumps(decode(text.encode(), CSV).as_rows())
        status = 200
    except RequestRefused as error:
        status = error.status
    assert status in {200, 400, 422}
