"""Schemas and examples of the server's documents, for :mod:`include.serving.openapi`."""

from __future__ import annotations

from typing import Any

from include.serving.protocols.metadata import DATATYPES
from include.serving.protocols.v2_outputs import OUTPUT, PROBABILITIES

Schema = dict[str, Any]
_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_SCALAR: Schema = {"type": ["string", "number", "boolean", "null"]}
_MAYBE_TEXT: Schema = {"type": ["string", "null"]}
_PREDICTION: Schema = {
    "type": ["number", "string", "null"],
    "description": "Probability (binary classification), value (regression) or class (multiclass classification).",
}
_PROBABILITIES: Schema = {
    "type": "object",
    "description": "Of a multiclass classification: each class with its probability, in the classes' order.",
    "additionalProperties": {"type": ["number", "null"]},
}
_LABEL: Schema = {
    "type": ["number", "boolean", "string"],
    "description": "A number, true or false; of a multiclass classification the class.",
}
_INSTANT: Schema = {"type": ["string", "null"], "format": "date-time", "description": "Without zone in UTC."}
_REQUEST_ID: Schema = {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"}
_TENSOR_TYPES = ["BOOL", *(f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64))]
_TENSOR_TYPES += ["FP16", "FP32", "FP64", "BYTES"]


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: Schema, *, required: tuple[str, ...] | None = None, closed: bool = False) -> Schema:
    """An object; all its properties are required if not said otherwise."""
    document: Schema = {"type": "object", "properties": properties}
    needed = list(properties if required is None else required)
    return {
        **document,
        **({"required": needed} if needed else {}),
        **({"additionalProperties": False} if closed else {}),
    }


def _or_null(schema: Schema) -> Schema:
    """The same, where null says as much as leaving the key out."""
    return {**schema, "type": [schema["type"], "null"]}


def _list(items: Schema, *, least: int = 0) -> Schema:
    return {"type": "array", "items": items, **({"minItems": least} if least else {})}


_ROW: Schema = {
    "type": "object",
    "description": "Raw input columns by name; `GET /models/{model}` lists them with their types. null is allowed.",
    "additionalProperties": _SCALAR,
}
_RECORDS = _list(_ROW, least=1)
_SPLIT = _object(
    {"columns": _list(_TEXT), "data": _list(_list(_SCALAR), least=1), "index": _list({})},
    required=("columns", "data"),
    closed=True,
)
_FLAG: Schema = {"type": "boolean"}
_INPUT_PARAMETERS = _object(
    {
        "binary_data_size": {**_COUNT, "description": "Bytes of this tensor after the JSON part."},
        "nulls": {**_list(_COUNT), "description": "Rows that are null."},
    },
    required=(),
)
_INPUT = _object(
    {
        "name": {**_TEXT, "description": "The column."},
        "shape": {**_list({"type": "integer", "minimum": 1}, least=1), "maxItems": 2, "description": "[n] or [n, 1]"},
        "datatype": {"type": "string", "enum": _TENSOR_TYPES},
        "parameters": _or_null(_INPUT_PARAMETERS),
        "data": {**_or_null(_list({})), "description": "Flat or nested; null is allowed."},
    },
    required=("name", "shape", "datatype"),
    closed=True,
)
_ASKED_OUTPUT = _object(
    {"name": {"enum": [OUTPUT, PROBABILITIES]}, "parameters": _or_null(_object({"binary_data": _FLAG}, required=()))},
    required=("name",),
    closed=True,
)
_OUTPUT = _object(
    {
        "name": {"enum": [OUTPUT, PROBABILITIES], "description": "Probabilities: of a multiclass classification only."},
        "datatype": {"enum": ["FP64", "BYTES"]},
        "shape": _list(_COUNT, least=1),
        "data": _list(_PREDICTION),
        "parameters": _object({"binary_data_size": _COUNT}),
    },
    required=("name", "datatype", "shape"),
)
_TENSOR_METADATA = _object(
    {"name": _TEXT, "datatype": {"type": "string", "enum": [*sorted(set(DATATYPES.values()))]}, "shape": _list({})},
)
_BY_REQUEST = _object(
    {
        "request_id": _REQUEST_ID,
        "row": {**_COUNT, "default": 0, "maximum": 2**31 - 1},
        "label": _LABEL,
        "at": _INSTANT,
    },
    required=("request_id", "label"),
    closed=True,
)
_BY_ENTITY = _object(
    {
        "entity": {**_ROW, "description": "All entity columns of the model by name."},
        "label": _LABEL,
        "at": _INSTANT,
    },
    required=("entity", "label"),
    closed=True,
)
_MLFLOW_PREDICTION: Schema = {
    **_object({"prediction": _PREDICTION}),
    "description": "Of a multiclass classification also `probability_<class>` for each class.",
    "additionalProperties": {"type": ["number", "null"]},
}
_SHARES: Schema = {
    "type": "object",
    "description": "By feature; with the base they add up to the row's prediction on the scale.",
    "additionalProperties": {"type": "number"},
}
_ROLE = _object(
    {
        "version": {"type": "integer"},
        "status": _TEXT,
        "error": _MAYBE_TEXT,
        "share": {"type": "number", "minimum": 0, "maximum": 1},
        "stage": _MAYBE_TEXT,
        "deployment": _MAYBE_TEXT,
        "until": _MAYBE_TEXT,
    },
    required=("version", "status"),
)

SCHEMAS: dict[str, Schema] = {
    "Problem": _object(
        {
            "error": {**_TEXT, "description": "What is wrong and what to do."},
            "field": {**_MAYBE_TEXT, "description": "The column or key that is wrong."},
            "row": {"type": ["integer", "null"], "description": "The row that is wrong, counted from 0."},
            "request_id": _TEXT,
        },
        required=("error",),
    ),
    "MlflowProblem": _object(
        {
            "error_code": _TEXT,
            "message": _TEXT,
            "field": _MAYBE_TEXT,
            "row": {"type": ["integer", "null"]},
            "request_id": _TEXT,
        },
        required=("error_code", "message"),
    ),
    "Rows": _object({"rows": _RECORDS}, closed=True),
    "Predictions": _object(
        {
            "model": _TEXT,
            "version": {"type": "integer"},
            "predictions": _list(_PREDICTION),
            "probabilities": _list(_PROBABILITIES),
            "request_id": _TEXT,
        },
        required=("model", "version", "predictions", "request_id"),
    ),
    "InferRequest": _object(
        {
            "id": {"type": ["string", "null"], "maxLength": 1024},
            "parameters": _or_null(_object({"binary_data_output": _FLAG}, required=())),
            "inputs": _list(_INPUT, least=1),
            "outputs": {**_or_null(_list(_ASKED_OUTPUT)), "maxItems": 2},
        },
        required=("inputs",),
        closed=True,
    ),
    "InferAnswer": _object(
        {"model_name": _TEXT, "model_version": _TEXT, "id": _TEXT, "outputs": _list(_OUTPUT)},
    ),
    "Invocation": {
        "oneOf": [
            _object({"dataframe_split": _SPLIT, "params": {}}, required=("dataframe_split",), closed=True),
            _object({"dataframe_records": _RECORDS, "params": {}}, required=("dataframe_records",), closed=True),
            _object({"instances": _RECORDS, "params": {}}, required=("instances",), closed=True),
            _object(
                {"inputs": {"anyOf": [_RECORDS, {"type": "object"}]}, "params": {}}, required=("inputs",), closed=True
            ),
        ]
    },
    "MlflowAnswer": _object({"predictions": _list(_MLFLOW_PREDICTION)}),
    "Explain": {
        "oneOf": [_object({"rows": _RECORDS}, closed=True), _object({"request_id": _REQUEST_ID}, closed=True)],
    },
    "Shares": _object(
        {
            "model": _TEXT,
            "version": {"type": "integer"},
            "scale": {"type": "string", "enum": ["log-odds", "value", "score"]},
            "base": {
                "type": ["number", "object"],
                "description": "What the model answers on average, on that scale; of several classes by class.",
                "additionalProperties": {"type": "number"},
            },
            "contributions": _list(_SHARES),
            "predictions": _list(_PREDICTION),
            "probabilities": _list(_PROBABILITIES),
            "request_id": _TEXT,
        },
        required=("model", "version", "scale", "base", "contributions", "predictions", "request_id"),
    ),
    "Labels": _object({"labels": _list({"oneOf": [_BY_REQUEST, _BY_ENTITY]}, least=1)}, closed=True),
    "Accepted": _object({"accepted": _COUNT, "request_id": _TEXT}),
    "FeedbackCounts": _object(
        {
            "applied": {**_COUNT, "description": "First labels of what is in the log."},
            "repeated": {**_COUNT, "description": "Say what was said already."},
            "changed": {**_COUNT, "description": "Say something else than before, and win."},
            "unknown": {**_COUNT, "description": "Of nothing that is in the log yet."},
            "rows": {**_COUNT, "description": "Answered rows that have a label."},
        }
    ),
    "Models": _object(
        {"models": _list(_ref("Model")), "database_error": _MAYBE_TEXT, "database_error_since": _MAYBE_TEXT}
    ),
    "Model": _object(
        {
            "model": _TEXT,
            "status": {**_TEXT, "description": "serving, loading, stale, failed, none or retired."},
            "version": {"type": ["integer", "null"], "description": "The champion that answers."},
            "wanted_version": {"type": ["integer", "null"]},
            "revision": _COUNT,
            "since": _TEXT,
            "retiring_until": {**_MAYBE_TEXT, "description": "It leaves production then at the latest."},
            "error": _MAYBE_TEXT,
            "problem": _MAYBE_TEXT,
            "as_of": _MAYBE_TEXT,
            "artifact_digest": _MAYBE_TEXT,
            "columns": {"type": ["object", "null"], "description": "Type of each input column."},
            "entity": {"type": ["object", "null"], "description": "Type of each entity column; optional in a row."},
            "roles": {"type": "object", "additionalProperties": _ROLE, "description": "By role: champion, canary, …"},
        },
        required=("model", "status"),
    ),
    "ServerMetadata": _object({"name": _TEXT, "version": _TEXT, "extensions": _list(_TEXT)}),
    "ModelMetadata": _object(
        {
            "name": _TEXT,
            "versions": _list(_TEXT),
            "platform": _TEXT,
            "inputs": _list(_TENSOR_METADATA),
            "outputs": _list(_TENSOR_METADATA),
        }
    ),
    "ModelReady": _object({"name": _TEXT, "version": _MAYBE_TEXT, "ready": _FLAG}),
    "Live": _object({"live": _FLAG}),
    "Ready": _object({"ready": _FLAG}),
    "Readiness": _object({"ready": _FLAG, "error": _MAYBE_TEXT}, required=("ready",)),
}

_FLIGHT: dict[str, Any] = {
    "scheduled_at": "2013-10-01T05:15:00",
    "carrier": "UA",
    "origin": "EWR",
    "dest": "IAH",
    "distance": 1400,
    "sched_dep_time": 515,
    "sched_arr_time": 819,
    "plane_year": 1999,
    "seats": 149,
    "temp": 60.1,
    "wind_speed": 5.8,
    "precip": 0.0,
    "visib": 10.0,
    "pressure": 1017.2,
    "humid": 78.0,
}
_TENSORS = [
    {
        "name": name,
        "shape": [1],
        "datatype": "BYTES" if isinstance(value, str) else "INT64" if isinstance(value, int) else "FP64",
        "data": [value],
    }
    for name, value in _FLIGHT.items()
]
EXAMPLES: dict[str, Any] = {
    "Rows": {"rows": [_FLIGHT]},
    "Predictions": {"model": "flight_delay", "version": 3, "predictions": [0.23], "request_id": "b1946ac92492"},
    "InferRequest": {"inputs": _TENSORS, "outputs": [{"name": OUTPUT}]},
    "InferAnswer": {
        "model_name": "flight_delay",
        "model_version": "3",
        "id": "b1946ac92492",
        "outputs": [{"name": OUTPUT, "datatype": "FP64", "shape": [1], "data": [0.23]}],
    },
    "Invocation": {"dataframe_split": {"columns": list(_FLIGHT), "data": [list(_FLIGHT.values())]}},
    "MlflowAnswer": {"predictions": [{"prediction": 0.23}]},
    "Explain": {"request_id": "b1946ac92492"},
    "Labels": {"labels": [{"request_id": "b1946ac92492", "row": 0, "label": 1}]},
    "Accepted": {"accepted": 1, "request_id": "6f1ed002ab55"},
    "csv": ",".join(_FLIGHT) + "\n" + ",".join(map(str, _FLIGHT.values())) + "\n",
}
