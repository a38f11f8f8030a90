"""The Open Inference Protocol v2 over REST, binary tensor extension included: one input tensor for each column."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from include.serving.limits import Limits
from include.serving.protocols.calls import SMALL, Call, Encoded, Headers, from_columns
from include.serving.protocols.compression import compress
from include.serving.protocols.v2_binary import DATATYPES, NUMERIC, Reader, check_finite, split
from include.serving.protocols.v2_json import json_values
from include.serving.protocols.v2_outputs import OUTPUT, PROBABILITIES, Tensor, class_tensors
from include.serving.validation import RequestRefused, check_keys, check_rows, inflate, kind_of, media_type, parse_json

_PLAIN_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_LONGEST_ID = 1024
_TYPES = frozenset({"", "application/json", "application/octet-stream"})
_REQUEST = ("id", "parameters", "inputs", "outputs")
_TENSOR = frozenset({"name", "shape", "datatype", "parameters", "data"})
_FLOATS = frozenset({"FP16", "FP32", "FP64"})
_DEFAULT: dict[str, Any] = {}


@dataclass(slots=True)
class V2Options:
    """What the answer has to look like.

    :param id: the request's own id, echoed; None if it has none (tritonclient says so with an empty one).
    :param binary: whether the outputs go as bytes after the JSON.
    :param outputs: the outputs that are asked for, in that order, and whether each goes as bytes; None: all.
    :param accepted: the header Accept-Encoding.
    """

    id: str | None = None
    binary: bool = False
    accepted: bytes | None = None
    outputs: Mapping[str, bool] | None = None


class V2Protocol:
    """Named tensors of shape [n] or [n, 1]."""

    name = "v2"

    def decode(self, body: bytes, headers: Headers, columns: Mapping[str, str], limits: Limits) -> Call:
        """Read an inference request, in JSON or with binary tensors.

        :raises RequestRefused: 415 for another content type or encoding, 400 for JSON or bytes that do not add up,
            413 for too much, 422 for everything else, with the tensor's name as field.
        """
        given = headers.get(b"content-type")
        if given != b"application/json" and media_type((given or b"").decode("latin-1")) not in _TYPES:
            raise RequestRefused(415, "The Content-Type must be application/json or application/octet-stream.")
        body = inflate(body, headers.get(b"content-encoding"), limits)
        header, binary = split(body, headers.get(b"inference-header-content-length"))
        document = parse_json(header, limits.json_parts(len(columns)))
        if not isinstance(document, dict):
            raise RequestRefused(422, 'The body must be an object with the key "inputs".')
        check_keys(document, _REQUEST)
        options = _options(document, headers)
        tensors, count = _tensors(document.get("inputs"), Reader(binary), columns, limits)
        request_id = options.id if options.id is not None and _PLAIN_ID.fullmatch(options.id) else None
        return from_columns(tensors, count, request_id=request_id, options=options)

    def encode(
        self,
        call: Call,
        predictions: Sequence[Any],
        *,
        model: str,
        version: int,
        request_id: str,
        classes: Sequence[str] = (),
    ) -> Encoded:
        """One output tensor ``prediction``, FP64 of shape [n]; null (in bytes: NaN) where the model has no answer.

        Of several classes it is BYTES (the likeliest class), beside ``probabilities``, FP64 of shape [n, classes].

        :raises RequestRefused: 422 for an output that this model has not.
        """
        options = call.options if isinstance(call.options, V2Options) else V2Options()
        made = class_tensors(predictions, classes) if classes else [Tensor.of_numbers(OUTPUT, predictions)]
        by_name = {tensor.name: tensor for tensor in made}
        asked = dict.fromkeys(by_name, options.binary) if options.outputs is None else options.outputs
        missing = next((name for name in asked if name not in by_name), None)
        if missing is not None:
            raise RequestRefused(422, f"There is no such output; there is: {', '.join(by_name)}.", field=missing)
        described, chunks = [], []
        for name, binary in asked.items():
            output, data = by_name[name].described(binary=binary)
            described.append(output)
            chunks.append(data)
        document = {
            "model_name": model,
            "model_version": str(version),
            "id": request_id if options.id is None else options.id,
            "outputs": described,
        }
        header = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
        if any(asked.values()):
            length = (b"inference-header-content-length", str(len(header)).encode())
            answer = Encoded(header + b"".join(chunks), b"application/octet-stream", [length])
        else:
            answer = Encoded(header)
        return compress(answer, options.accepted)

    def refuse(self, refused: RequestRefused, request_id: str) -> Encoded:
        """``{"error"}`` as the protocol says, with field, row and request id beside it."""
        return Encoded(orjson.dumps({**refused.to_document(), "request_id": request_id}), status=refused.status)


V2 = V2Protocol()


# ---- what is asked for ----------------------------------------------------------------------------------------------


def _options(document: dict[str, Any], headers: Headers) -> V2Options:
    own_id = document.get("id")
    if own_id is not None and (not isinstance(own_id, str) or len(own_id) > _LONGEST_ID):
        raise RequestRefused(422, f"The id must be a text of at most {_LONGEST_ID} characters.", field="id")
    parameters = _parameters(document, "parameters")
    binary = _flag(parameters, "binary_data_output", False, "parameters")
    outputs, asked = document.get("outputs"), None
    if outputs:
        asked = _requested(outputs, binary)
    elif outputs is not None and not isinstance(outputs, list):
        raise RequestRefused(422, f'"outputs" must be a list, this is {kind_of(outputs)}.', field="outputs")
    return V2Options(own_id or None, binary, headers.get(b"accept-encoding"), asked)


def _requested(outputs: object, default: bool) -> dict[str, bool]:
    """The outputs that are asked for, and whether each shall be binary."""
    if not isinstance(outputs, list) or not all(isinstance(output, dict) for output in outputs):
        raise RequestRefused(422, '"outputs" must be a list of objects.', field="outputs")
    asked: dict[str, bool] = {}
    for output in outputs:
        check_keys(output, ("name", "parameters"))
        if output.get("name") not in {OUTPUT, PROBABILITIES}:
            named = output["name"] if isinstance(output.get("name"), str) else "outputs"
            known = f"{OUTPUT}, and of several classes {PROBABILITIES}"
            raise RequestRefused(422, f"There is no such output; there is: {known}.", field=named)
        name = output["name"]
        parameters = _parameters(output, name)
        if "classification" in parameters:
            raise RequestRefused(422, "The classification extension is not supported.", field=name)
        if name in asked:
            raise RequestRefused(422, "The output is asked for more than once.", field=name)
        asked[name] = _flag(parameters, "binary_data", default, name)
    return asked


def _parameters(holder: dict[str, Any], field: str) -> dict[str, Any]:
    """Parameters of a request, an input or an output; what nobody here knows (priority, timeout, …) has no effect."""
    parameters = holder.get("parameters")
    if parameters is None:
        return _DEFAULT
    if not isinstance(parameters, dict):
        raise RequestRefused(422, f'"parameters" must be an object, this is {kind_of(parameters)}.', field=field)
    if "shared_memory_region" in parameters:
        raise RequestRefused(422, "The shared memory extension is not supported.", field=field)
    return parameters


def _flag(parameters: dict[str, Any], name: str, default: bool, field: str) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise RequestRefused(422, f'The parameter "{name}" must be true or false.', field=field)
    return value


# ---- the tensors ----------------------------------------------------------------------------------------------------


def _tensors(inputs: object, reader: Reader, known: Mapping[str, str], limits: Limits) -> tuple[dict[str, Any], int]:
    """Values by column name, and how many rows there are."""
    if not isinstance(inputs, list) or not inputs:
        raise RequestRefused(422, '"inputs" must be a list with one tensor for each column.', field="inputs")
    if len(inputs) > len(known):
        names = [tensor.get("name") for tensor in inputs if isinstance(tensor, dict)]
        stranger = next((name for name in names if isinstance(name, str) and name not in known), "inputs")
        problem = f"{len(inputs)} tensors are more than the {len(known)} columns that the model knows."
        raise RequestRefused(422, problem, field=stranger)
    columns: dict[str, Any] = {}
    rows = 0
    for place, tensor in enumerate(inputs):
        name, count = _head(place, tensor, limits)
        if name in columns:
            raise RequestRefused(422, "There are two tensors of this name.", field=name)
        if columns and count != rows:
            raise RequestRefused(422, f"All tensors must have {rows} rows, this one has {count}.", field=name)
        rows = count
        columns[name] = _values(tensor, name, count, reader)
    reader.finish()
    return columns, rows


def _head(place: int, tensor: object, limits: Limits) -> tuple[str, int]:
    """Name and number of rows of a tensor."""
    if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
        raise RequestRefused(422, f"Tensor {place} must be an object with a name.", field="inputs")
    name: str = tensor["name"]
    for key in tensor:
        if key not in _TENSOR:
            raise RequestRefused(422, f"A tensor may only have {', '.join(_TENSOR)}.", field=name)
    if tensor.get("datatype") not in DATATYPES:
        raise RequestRefused(422, f"The datatype must be one of {', '.join(DATATYPES)}.", field=name)
    shape = tensor.get("shape")
    flat = isinstance(shape, list) and all(type(size) is int for size in shape)
    if not isinstance(shape, list) or not flat or len(shape) not in {1, 2} or (len(shape) == 2 and shape[1] != 1):
        raise RequestRefused(422, "The shape must be [n] or [n, 1].", field=name)
    check_rows(shape[0], limits, name)
    return name, shape[0]


def _values(tensor: dict[str, Any], name: str, count: int, reader: Reader) -> Any:
    """The elements of a tensor: an array, or a list if some are null, if they are texts, or if they are few."""
    parameters = _parameters(tensor, name)
    nulls = _nulls(parameters, name, count) if "nulls" in parameters else []
    datatype: str = tensor["datatype"]
    size, data = parameters.get("binary_data_size"), tensor.get("data")
    if (size is None) == (data is None):
        raise RequestRefused(422, "A tensor must have either data or the parameter binary_data_size.", field=name)
    if data is not None:
        values = json_values(data, datatype, count, name, nulls)
        plain = datatype == "BYTES" or count <= SMALL or None in values
        return values if plain else np.array(values, dtype=NUMERIC[datatype])
    taken = reader.take(name, datatype, count, size)
    if datatype in _FLOATS:
        check_finite(taken, name, nulls)
    if not nulls:
        return taken
    elements: list[Any] = taken if isinstance(taken, list) else taken.tolist()
    for row in nulls:
        elements[row] = None
    return elements


def _nulls(parameters: dict[str, Any], name: str, count: int) -> list[int]:
    """The rows that are null although a tensor has no null."""
    nulls = parameters["nulls"]
    if not isinstance(nulls, list) or not all(type(row) is int and 0 <= row < count for row in nulls):
        raise RequestRefused(422, f'The parameter "nulls" must list rows from 0 to {count - 1}.', field=name)
    return nulls
