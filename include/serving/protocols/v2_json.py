"""Tensor data that is written as JSON: flat or nested, with null, and held to what the datatype can say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from include.serving.protocols.v2_binary import NUMERIC, check_finite
from include.serving.validation import RequestRefused, check_values, kind_of

_NULL = type(None)
_ALLOWED: dict[str, tuple[frozenset[type], str]] = {
    "b": (frozenset({bool, _NULL}), "true or false"),
    "i": (frozenset({int, float, _NULL}), "whole numbers"),
    "u": (frozenset({int, float, _NULL}), "whole numbers from 0"),
    "f": (frozenset({int, float, _NULL}), "numbers"),
    "S": (frozenset({str, _NULL}), "texts"),
}
_BOUNDS = {
    name: (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)) for name, dtype in NUMERIC.items() if dtype.kind in "iu"
}


def json_values(data: object, datatype: str, count: int, name: str, nulls: Sequence[int]) -> list[Any]:
    """The elements as plain Python values, None for null; floats as exact as the datatype.

    :raises RequestRefused: 422 that names the tensor, and the row where one is wrong.
    """
    values = _flat(data, count, name)
    kind = "S" if datatype == "BYTES" else NUMERIC[datatype].kind
    allowed, words = _ALLOWED[kind]
    kinds = check_values(values, name)
    if not kinds <= allowed:
        row = next(row for row, value in enumerate(values) if type(value) not in allowed)
        problem = f"Data of {datatype} must be {words} or null, this is {kind_of(values[row])}."
        raise RequestRefused(422, problem, field=name, row=row)
    if nulls:
        values = list(values)
        for row in nulls:
            values[row] = None
    if kind in "iu":
        if float in kinds:
            values = _as_integers(values, datatype, name)
        _check_range(values, datatype, name)
    elif kind == "f" and (datatype != "FP64" or int in kinds):
        return _as_floats(values, datatype, name)
    return values


def _flat(data: object, count: int, name: str) -> list[Any]:
    """The elements of ``[a, b]`` or ``[[a], [b]]``."""
    if not isinstance(data, list) or len(data) != count:
        found = len(data) if isinstance(data, list) else kind_of(data)
        raise RequestRefused(
            422, f"The data must be a list of {count} elements as the shape says: {found}.", field=name
        )
    if not isinstance(data[0], list):
        return data
    for row, inner in enumerate(data):
        if not isinstance(inner, list) or len(inner) != 1:
            raise RequestRefused(422, "Nested data must be a list of lists of one element.", field=name, row=row)
    return [inner[0] for inner in data]


def _as_integers(values: list[Any], datatype: str, name: str) -> list[Any]:
    """Numbers that are written like ``3.0`` as what they are."""
    for row, value in enumerate(values):
        if isinstance(value, float) and not value.is_integer():
            raise RequestRefused(422, f"Data of {datatype} must be whole numbers or null.", field=name, row=row)
    return [int(value) if isinstance(value, float) else value for value in values]


def _check_range(values: list[Any], datatype: str, name: str) -> None:
    low, high = _BOUNDS[datatype]
    for row, value in enumerate(values):
        if value is not None and not low <= value <= high:
            raise RequestRefused(422, f"{datatype} goes from {low} to {high}.", field=name, row=row)


def _as_floats(values: list[Any], datatype: str, name: str) -> list[Any]:
    """Numbers as the floats that the datatype can hold."""
    nulls = [row for row, value in enumerate(values) if value is None]
    with np.errstate(over="ignore"):
        array = np.array([0.0 if value is None else value for value in values], "<f8").astype(NUMERIC[datatype])
    check_finite(array, name)
    floats: list[Any] = array.tolist()
    for row in nulls:
        floats[row] = None
    return floats
