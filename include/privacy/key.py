"""A key: values of the columns that identify a row, all of them or some, such as a customer in all its orders."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from include.errors import Refused
from include.spec.definition import ColumnType, Definition

_ARROW: Final[dict[ColumnType, pa.DataType]] = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us"),
}
_DISTINCTIVE_LETTERS: Final = 6
ERASED: Final = "[erased]"


class KeyUnreadable(Refused):
    """The key is not one of this model; the message never repeats it."""

    def __init__(self, model: str, problem: str, entity: list[str]) -> None:
        self.model = model
        example = json.dumps(dict.fromkeys(entity[:1], "…"), ensure_ascii=False)
        super().__init__(
            f"The key is no key of {model}: {problem}. Write a JSON object of columns of its entity "
            f"({', '.join(entity)}), all or some, such as {example}."
        )


@dataclass(frozen=True, repr=False)
class EntityKey:
    """A key with values of the lake's types. It has no representation, so that no log or traceback shows it.

    :param definition: of the model that it is a key of.
    :param values: by column, in the entity's order.
    """

    definition: Definition
    values: Mapping[str, pa.Scalar]

    @classmethod
    def read(cls, definition: Definition, text: str) -> EntityKey:
        """A key from JSON.

        :raises KeyUnreadable: it is none.
        """
        entity = list(definition.source.entity)
        try:
            given = json.loads(text)
        except ValueError:
            raise KeyUnreadable(definition.model, "it is no JSON", entity) from None
        if isinstance(given, list) and len(given) == len(entity):
            given = dict(zip(entity, given, strict=True))
        if not isinstance(given, dict) or not given:
            raise KeyUnreadable(definition.model, "it is no JSON object", entity)
        unknown = [name for name in given if name not in entity]
        if unknown:
            raise KeyUnreadable(definition.model, f"{len(unknown)} of its names are none of the entity's", entity)
        values = {name: _scalar(definition, name, given[name]) for name in entity if name in given}
        return cls(definition, values)

    @property
    def columns(self) -> list[str]:
        """The columns that it consists of."""
        return list(self.values)

    @property
    def is_whole(self) -> bool:
        """Whether it names every column of the entity."""
        return self.columns == list(self.definition.source.entity)

    def wanted(self, rows: pa.Table) -> pa.Array:
        """For each row, whether it is of this key; the rows have its columns."""
        found = np.ones(rows.num_rows, bool)
        for name, value in self.values.items():
            found &= equal(rows[name], value)
        return pa.array(found)

    @cached_property
    def plain(self) -> dict[str, Any]:
        """Its values as JSON says them."""
        values = {name: value.as_py() for name, value in self.values.items()}
        return {name: v.isoformat() if isinstance(v, datetime) else v for name, v in values.items()}

    @cached_property
    def distinctive(self) -> re.Pattern[str] | None:
        """What finds its values in any text; None if they are too short or too common to mean nothing else."""
        words = [str(v) for v in self.plain.values() if isinstance(v, str | int) and not isinstance(v, bool)]
        texts = {
            form
            for value, word in zip(self.values.values(), words, strict=False)
            for form in _forms(word)
            if len(word) >= _DISTINCTIVE_LETTERS and not pa.types.is_timestamp(value.type)
        }
        if not texts:
            return None
        return re.compile("|".join(rf"(?<![0-9A-Za-z]){re.escape(text)}(?![0-9A-Za-z])" for text in sorted(texts)))


def equal(column: pa.ChunkedArray | pa.Array, value: pa.Scalar) -> np.ndarray:
    """For each value of a column whether it is the same, also if it is kept as another type; null is not."""
    if column.type != value.type:
        try:
            column = pc.cast(column, value.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            column, value = pc.cast(column, pa.string(), safe=False), pa.scalar(str(value.as_py()))
    same = pc.fill_null(pc.equal(column, value), False)
    return np.asarray(same.to_numpy(zero_copy_only=False) if isinstance(same, pa.Array) else same.to_numpy()).astype(
        bool
    )


def _forms(word: str) -> set[str]:
    """How a text may be written: as it is, in JSON, in HTML."""
    import html

    return {word, json.dumps(word)[1:-1], json.dumps(word, ensure_ascii=False)[1:-1], html.escape(word)}


def _scalar(definition: Definition, name: str, value: Any) -> pa.Scalar:
    kind = definition.source.columns[name]
    try:
        if kind == "timestamp" and isinstance(value, str):
            value = _local(value, definition.source.time_zone)
        fits = {
            "string": isinstance(value, str),
            "integer": isinstance(value, int) and not isinstance(value, bool),
            "number": isinstance(value, int | float) and not isinstance(value, bool),
            "boolean": isinstance(value, bool),
            "timestamp": isinstance(value, datetime),
        }[kind]
        if fits:
            return pa.scalar(float(value) if kind == "number" else value, _ARROW[kind])
    except (ValueError, OverflowError, pa.ArrowInvalid):
        pass
    raise KeyUnreadable(definition.model, f"the value of {name} is no {kind}", list(definition.source.entity)) from None


def _local(text: str, zone: str) -> datetime:
    instant = datetime.fromisoformat(text.strip())
    return instant if instant.tzinfo is None else instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
