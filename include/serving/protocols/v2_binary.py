"""Tensors as bytes: the binary extension of the Open Inference Protocol, and the datatypes of the protocol."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from include.serving.validation import RequestRefused

NUMERIC: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
"""Datatypes of fixed size; BYTES is the one more that a column can have."""
DATATYPES = (*NUMERIC, "BYTES")
_CODES = dict(zip(NUMERIC, "BbhiqBHIQefd", strict=True))
_FEW = 32
_LENGTH = struct.Struct("<I")


def split(body: bytes, header_length: bytes | None) -> tuple[bytes, bytes | None]:
    """The JSON part of a body and its binary part, None without the header ``Inference-Header-Content-Length``.

    :raises RequestRefused: 400 if the header is no number or larger than the body.
    """
    if header_length is None:
        return body, None
    if not header_length.isdigit() or len(header_length) > 18 or int(header_length) > len(body):
        raise RequestRefused(
            400, f"Inference-Header-Content-Length must be a number of bytes up to the body's length, {len(body)}."
        )
    length = int(header_length)
    if length == 0:
        raise RequestRefused(400, "A raw binary request has no names: send the JSON part with one tensor per column.")
    return body[:length], body[length:]


class Reader:
    """Takes the binary tensors from a body's second part, one after the other.

    :param part: the bytes, None if the request has no binary part.
    """

    def __init__(self, part: bytes | None) -> None:
        self._part = part
        self._at = 0

    def take(self, name: str, datatype: str, count: int, size: object) -> list[Any] | np.ndarray[Any, Any]:
        """The next tensor, of ``count`` elements in ``size`` bytes: an array of many numbers, else a list.

        :raises RequestRefused: 400 if the sizes do not fit, 422 for elements that are none; both name the tensor.
        """
        if self._part is None:
            raise RequestRefused(400, "binary_data_size needs the header Inference-Header-Content-Length.", field=name)
        if type(size) is not int or size < 0:
            raise RequestRefused(400, "binary_data_size must be a number of bytes.", field=name)
        start, self._at = self._at, self._at + size
        if self._at > len(self._part):
            raise RequestRefused(400, "The body ends before the binary data does.", field=name)
        if datatype == "BYTES":
            return _texts(self._part, start, self._at, count, name)
        return _numbers(self._part, start, size, count, datatype, name)

    def finish(self) -> None:
        """Everything must have been taken.

        :raises RequestRefused: 400 if there is more.
        """
        if self._part is not None and self._at != len(self._part):
            raise RequestRefused(400, f"{len(self._part) - self._at} bytes after the last tensor belong to no input.")


def _numbers(
    part: bytes, start: int, size: int, count: int, datatype: str, name: str
) -> list[Any] | np.ndarray[Any, Any]:
    dtype = NUMERIC[datatype]
    if size != count * dtype.itemsize:
        problem = f"{count} elements of {datatype} are {count * dtype.itemsize} bytes, binary_data_size says {size}."
        raise RequestRefused(400, problem, field=name)
    if count <= _FEW:
        few = list(struct.unpack_from(f"<{count}{_CODES[datatype]}", part, start))
        return few if datatype != "BOOL" else _booleans(few, name)
    if datatype == "BOOL":
        _booleans(np.frombuffer(part, np.uint8, count, start).tolist(), name)
    return np.frombuffer(part, dtype, count, start).copy()  # aligned, writable, and not holding the whole body


def _booleans(numbers: list[int], name: str) -> list[bool]:
    for row, number in enumerate(numbers):
        if number > 1:
            raise RequestRefused(422, "An element of BOOL must be 0 or 1.", field=name, row=row)
    return [number == 1 for number in numbers]


def _texts(part: bytes, start: int, stop: int, count: int, name: str) -> list[str]:
    """Elements of BYTES: each its length in 4 bytes, then UTF-8."""
    texts: list[str] = []
    at = start
    while at < stop:
        if stop - at < _LENGTH.size:
            raise _broken(name, len(texts))
        (length,) = _LENGTH.unpack_from(part, at)
        at += _LENGTH.size
        if length > stop - at or len(texts) == count:
            raise _broken(name, len(texts))
        try:
            texts.append(part[at : at + length].decode("utf-8"))
        except UnicodeDecodeError:
            raise RequestRefused(422, "The text is not UTF-8.", field=name, row=len(texts)) from None
        at += length
    if len(texts) != count:
        raise RequestRefused(400, f"The shape says {count} elements, the binary data has {len(texts)}.", field=name)
    return texts


def _broken(name: str, row: int) -> RequestRefused:
    problem = "Binary BYTES must be each element's length in 4 bytes (little-endian) and its UTF-8, as the shape says."
    return RequestRefused(400, problem, field=name, row=row)


def check_finite(values: list[Any] | np.ndarray[Any, Any], name: str, skipped: Sequence[int] = ()) -> None:
    """NaN and infinity stand for nothing in a tensor.

    :param values: numbers.
    :param skipped: elements that are null and may hold anything.
    :raises RequestRefused: 422 that names the tensor and the row.
    """
    finite = np.isfinite(values) if isinstance(values, np.ndarray) else list(map(math.isfinite, values))
    if _all(finite):
        return
    for row in skipped:
        finite[row] = True
    if not _all(finite):
        problem = 'A number must be finite; for null write null in JSON data, or the row in the parameter "nulls".'
        raise RequestRefused(422, problem, field=name, row=list(finite).index(False))


def _all(flags: list[bool] | np.ndarray[Any, Any]) -> bool:
    return all(flags) if isinstance(flags, list) else bool(flags.all())


def doubles(predictions: Sequence[float]) -> bytes:
    """Predictions as the bytes of an FP64 tensor."""
    return np.asarray(predictions, dtype="<f8").tobytes()
