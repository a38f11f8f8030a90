"""MLflow's ``/invocations``: what ``mlflow models serve`` reads and answers for a pyfunc that takes a DataFrame."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from include.lake.class_columns import probability_columns
from include.serving.limits import Limits
from include.serving.protocols.calls import SMALL, Call, Encoded, Headers, Row, from_columns
from include.serving.protocols.classes import likeliest, named
from include.serving.protocols.compression import compress
from include.serving.protocols.mlflow_csv import csv_columns
from include.serving.validation import (
    RequestRefused,
    check_finite,
    check_keys,
    check_rows,
    check_values,
    inflate,
    kind_of,
    media_type,
    parse_json,
    rows_in,
)

_FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_CODES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    429: "REQUEST_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
}
_NULL = type(None)


class MlflowProtocol:
    """DataFrames as JSON or CSV. Columns that the model does not know are ignored, as MLflow ignores them."""

    name = "mlflow"

    def decode(self, body: bytes, headers: Headers, columns: Mapping[str, str], limits: Limits) -> Call:
        """Read one of MLflow's formats.

        :raises RequestRefused: 415 for another content type, 400 for no JSON or CSV, 413 for too much, 422 for the
            rest.
        """
        kind = media_type(headers.get(b"content-type", b"").decode("latin-1"))
        if kind not in {"application/json", "text/csv"}:
            raise RequestRefused(415, "The Content-Type must be application/json or text/csv.")
        body = inflate(body, headers.get(b"content-encoding"), limits)
        accepted = headers.get(b"accept-encoding")
        if kind == "text/csv":
            frame, count = csv_columns(body, columns, limits)
            return from_columns(frame, count, options=accepted)
        document, strict = _parse(body, limits)
        call = _READERS[_format_of(document)](next(document[key] for key in _FORMATS if key in document), limits)
        _keep_known(call, columns, strict)
        call.options = accepted
        return call

    def encode(
        self,
        call: Call,
        predictions: Sequence[Any],
        *,
        model: str,  # noqa: ARG002
        version: int,  # noqa: ARG002
        request_id: str,  # noqa: ARG002
        classes: Sequence[str] = (),
    ) -> Encoded:
        """``{"predictions": [{"prediction": …}, …]}``, of several classes with ``probability_<class>`` besides.

        Version and request id are in the headers.
        """
        values = predictions if isinstance(predictions, list) else np.asarray(predictions).tolist()
        if classes:
            names = probability_columns(classes)
            answers = [{"prediction": likeliest(row, classes), **named(row, names)} for row in values]
        else:
            answers = [{"prediction": value} for value in values]
        document = {"predictions": answers}
        return compress(Encoded(orjson.dumps(document)), call.options)

    def refuse(self, refused: RequestRefused, request_id: str) -> Encoded:
        """``{"error_code", "message"}`` as MLflow says it, with field, row and request id beside it."""
        document = {
            "error_code": _CODES.get(refused.status, "BAD_REQUEST"),
            "message": refused.problem,
            "field": refused.field,
            "row": refused.row,
            "request_id": request_id,
        }
        return Encoded(orjson.dumps(document), status=refused.status)


MLFLOW = MlflowProtocol()


# ---- JSON as MLflow's clients write it ------------------------------------------------------------------------------


def _parse(body: bytes, limits: Limits) -> tuple[Any, bool]:
    """The document, and whether it was strict JSON; MLflow's clients write a missing number as NaN: null here.

    :raises RequestRefused: 400 if it is neither, 413 if it has too many parts.
    """
    try:
        return parse_json(body, limits.json_parts()), True
    except RequestRefused as refused:
        if refused.status != 400 or (b"NaN" not in body and b"Infinity" not in body):
            raise
        try:
            document = json.loads(body.decode("utf-8"), parse_constant=lambda word: None if word == "NaN" else math.inf)
            orjson.dumps(document)  # neither integers beyond 64 bits nor halves of surrogate pairs
        except (ValueError, TypeError, RecursionError):
            raise refused from None
        return document, False


def _format_of(document: object) -> str:
    words = f'one of {", ".join(_FORMATS)} (and "params", which has no effect)'
    if not isinstance(document, dict):
        raise RequestRefused(422, f"The body must be an object with {words}; this is {kind_of(document)}.")
    check_keys(document, (*_FORMATS, "params"))
    given = [name for name in _FORMATS if name in document]
    if len(given) != 1:
        raise RequestRefused(422, f"The body must have exactly {words}.", field=given[1] if given else None)
    return given[0]


def _read_split(data: object, limits: Limits) -> Call:
    """``{"columns": […], "data": [[…], …], "index": […]}``; the index has no effect."""
    field = "dataframe_split"
    if not isinstance(data, dict):
        raise RequestRefused(422, f"It must be an object, this is {kind_of(data)}.", field=field)
    check_keys(data, ("columns", "data", "index"))
    names, rows = data.get("columns"), data.get("data")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RequestRefused(422, '"columns" must list the names of the columns.', field="columns")
    if len(set(names)) != len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise RequestRefused(422, "This column is there more than once.", field=twice)
    if not isinstance(rows, list):
        raise RequestRefused(422, '"data" must be a list of rows.', field="data")
    check_rows(len(rows), limits, "data")
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            raise RequestRefused(422, f"A row must be a list of {len(names)} values.", field="data", row=number)
    return Call(len(rows), columns=dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


def _read_records(data: object, limits: Limits) -> Call:
    rows = rows_in(data, limits, "dataframe_records")
    return Call(len(rows), rows)


def _read_instances(data: object, limits: Limits) -> Call:
    if isinstance(data, list) and data and not isinstance(data[0], dict):
        problem = "Values without names cannot be told apart: send objects with the columns' names."
        raise RequestRefused(422, problem, field="instances", row=0)
    rows = rows_in(data, limits, "instances")
    return Call(len(rows), rows)


def _read_inputs(data: object, limits: Limits) -> Call:
    """Columns (``{"a": [1, 2]}``), one row (``{"a": 1}``) or rows (``[{"a": 1}, {"a": 2}]``)."""
    if not isinstance(data, dict):
        rows = rows_in(data, limits, "inputs")
        return Call(len(rows), rows)
    if not any(isinstance(values, list) for values in data.values()):
        return Call(1, rows_in([data], limits, "inputs"))
    counts = {len(values) for values in data.values() if isinstance(values, list)}
    for name, values in data.items():
        if not isinstance(values, list) or len(counts) != 1:
            raise RequestRefused(422, "All columns must be lists of the same length.", field=name)
    count = counts.pop()
    check_rows(count, limits, "inputs")
    return Call(count, columns=data)


_READERS: dict[str, Callable[[object, Limits], Call]] = {
    "dataframe_split": _read_split,
    "dataframe_records": _read_records,
    "instances": _read_instances,
    "inputs": _read_inputs,
}


# ---- what the model gets --------------------------------------------------------------------------------------------


def _keep_known(call: Call, known: Mapping[str, str], strict: bool) -> None:
    """Drop unknown columns; make a call with few rows one of rows, and one with many one of typed columns."""
    if call.rows is not None:
        call.rows = [_known(row, known) for row in call.rows]
        if not strict:
            for name in known:
                check_finite((row.get(name) for row in call.rows), name)
        _no_instants(call.rows, known)
        return
    columns = {name: values for name, values in (call.columns or {}).items() if name in known}
    for name, values in columns.items():
        kinds = check_values(values, name)
        if not strict:
            check_finite(values, name)
        columns[name] = _typed(values, kinds, known[name], call.count)
    small = from_columns(columns, call.count)
    call.rows, call.columns = small.rows, small.columns


def _known(row: Row, known: Mapping[str, str]) -> Row:
    return row if row.keys() <= known.keys() else {name: value for name, value in row.items() if name in known}


def _no_instants(rows: list[Row], known: Mapping[str, str]) -> None:
    """MLflow's clients write a missing instant as the text NaT."""
    for name in (name for name, kind in known.items() if kind == "timestamp"):
        for row in rows:
            if row.get(name) == "NaT":
                row[name] = None


def _typed(values: list[Any], kinds: frozenset[type], kind: str, count: int) -> Any:
    """Many numbers or booleans without null as an array; everything else stays a list."""
    if kind == "timestamp" and "NaT" in values:
        return [None if value == "NaT" else value for value in values]
    if count <= SMALL or len(kinds) != 1 or kinds <= {str, _NULL}:
        return values
    try:
        return np.array(values, dtype={int: np.int64, float: np.float64, bool: np.bool_}[next(iter(kinds))])
    except OverflowError:
        return values
