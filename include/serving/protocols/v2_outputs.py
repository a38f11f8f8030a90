"""The output tensors of the Open Inference Protocol, as JSON or as bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from include.serving.protocols.classes import likeliest
from include.serving.protocols.v2_binary import doubles

OUTPUT = "prediction"
PROBABILITIES = "probabilities"


@dataclass(frozen=True, slots=True)
class Tensor:
    """One output.

    :param values: its elements; of two dimensions a list of rows, unless it has none.
    """

    name: str
    datatype: str
    shape: list[int]
    values: Sequence[Any]

    @classmethod
    def of_numbers(cls, name: str, values: Sequence[float]) -> Tensor:
        """FP64 of shape [n]."""
        return cls(name, "FP64", [len(values)], values)

    def described(self, *, binary: bool) -> tuple[dict[str, Any], bytes]:
        """The tensor as it stands in the JSON, and its bytes (none if the JSON holds its data)."""
        head: dict[str, Any] = {"name": self.name, "datatype": self.datatype, "shape": self.shape}
        if not binary:
            flat = self.values if len(self.shape) == 1 else [number for row in self.values for number in row]
            return {**head, "data": flat}, b""
        data = _texts(self.values) if self.datatype == "BYTES" else doubles(self.values)
        return {**head, "parameters": {"binary_data_size": len(data)}}, data


def class_tensors(predictions: Sequence[Sequence[float]], classes: Sequence[str]) -> list[Tensor]:
    """The likeliest class of each row, BYTES of shape [n], and all probabilities, FP64 of shape [n, classes]."""
    rows = len(predictions)
    return [
        Tensor(OUTPUT, "BYTES", [rows], [likeliest(row, classes) for row in predictions]),
        Tensor(PROBABILITIES, "FP64", [rows, len(classes)], predictions),
    ]


def output_metadata(classes: Sequence[str]) -> list[dict[str, Any]]:
    """What a model's metadata say of its outputs; the order of the probabilities is that of ``classes``."""
    if not classes:
        return [{"name": OUTPUT, "datatype": "FP64", "shape": [-1]}]
    named = {"parameters": {"classes": list(classes)}}
    return [
        {"name": OUTPUT, "datatype": "BYTES", "shape": [-1], **named},
        {"name": PROBABILITIES, "datatype": "FP64", "shape": [-1, len(classes)], **named},
    ]


def _texts(values: Sequence[str]) -> bytes:
    """Texts as the binary extension wants them: each with its length in four bytes, little-endian, before it."""
    encoded = (value.encode() for value in values)
    return b"".join(len(text).to_bytes(4, "little") + text for text in encoded)
