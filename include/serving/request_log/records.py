"""What a line of the request log says: how records are made by workers, and read by the compactor.

A segment describes itself: before the first record of a version in it stands a ``shape`` record with the version's
columns. Rows are then written as lists of values in the order of its :attr:`Shape.names`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import orjson

from include.hashing import Hashing
from include.serving.routing import entity_keys

if TYPE_CHECKING:
    from include.serving.protocols.calls import Call, Row

SHAPE: Final = "shape"
ANSWER: Final = "answer"
FAILURE: Final = "failure"
SHADOW: Final = "shadow"
FEEDBACK: Final = "feedback"
_KINDS: Final = {SHAPE, ANSWER, FAILURE, SHADOW, FEEDBACK}
_TYPES: Final = ("string", "integer", "number", "boolean", "timestamp")
_OPTIONS: Final = orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY
_ERROR_LETTERS: Final = 500


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What the log must know of a version to write its requests.

    :param columns: input columns and their types.
    :param entity: entity columns and their types, in order; those that are no inputs are optional fields of a row.
    :param personal: columns that are hashed.
    :param time_zone: the source's time zone, in which timestamps without one are meant.
    :param classes: whose probabilities its answers hold, in order; none if an answer is one number.
    """

    model: str
    version: int
    columns: Mapping[str, str]
    entity: Mapping[str, str] = field(default_factory=dict)
    personal: frozenset[str] = frozenset()
    time_zone: str = "UTC"
    classes: tuple[str, ...] = ()

    @classmethod
    def of(cls, model: str, version: int, description: Mapping[str, Any]) -> Shape:
        """From a packaged model's ``features.json``."""
        serving = description.get("serving") or {}
        return cls(
            model=model,
            version=version,
            columns=dict(description["columns"]),
            entity=dict(serving.get("entity") or {}),
            personal=frozenset(serving.get("personal") or ()),
            time_zone=description.get("time_zone", "UTC"),
            classes=tuple(description.get("classes") or ()),
        )

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> Shape:
        """From a ``shape`` record."""
        return cls(
            model=record["model"],
            version=record["version"],
            columns=record["columns"],
            entity=record["entity"],
            personal=frozenset(record["personal"]),
            time_zone=record["time_zone"],
            classes=tuple(record.get("classes") or ()),
        )

    @cached_property
    def line(self) -> bytes:
        """The shape's own record."""
        return line(
            {
                "kind": SHAPE,
                "model": self.model,
                "version": self.version,
                "columns": dict(self.columns),
                "entity": dict(self.entity),
                "personal": sorted(self.personal),
                "time_zone": self.time_zone,
                **({"classes": list(self.classes)} if self.classes else {}),
            }
        )

    @cached_property
    def tells_entity(self) -> bool:
        """Whether the logged values show the entity; if it is personal, its hash is made before anything is written."""
        return bool(self.entity) and not any(name in self.personal for name in self.entity)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Columns in the order in which values are logged: inputs, then entity columns that are none."""
        more = (name for name in self.entity if name not in self.columns) if self.tells_entity else ()
        return (*self.columns, *more)

    @cached_property
    def pick(self) -> Callable[[Row], Sequence[Any]]:
        """Takes the logged values out of a row."""
        if len(self.names) == 1:
            [only] = self.names
            return lambda row: (row[only],)
        return itemgetter(*self.names) if self.names else lambda _: ()

    @cached_property
    def hashed(self) -> tuple[int, ...]:
        """Places of the personal columns among :attr:`names`."""
        return tuple(place for place, name in enumerate(self.names) if name in self.personal)


def line(record: Mapping[str, Any]) -> bytes:
    """A record as a line: JSON and a line feed."""
    try:
        return orjson.dumps(record, default=_plain, option=_OPTIONS)
    except TypeError:  # an integer beyond 64 bits, or half a surrogate pair
        return json.dumps(record, default=_plain).encode() + b"\n"


def inputs(shape: Shape, call: Call, hashing: Hashing) -> dict[str, Any]:
    """A call's rows as they are logged: ``rows`` or ``columns`` (values in the shape's order), and ``entity`` hashes.

    Personal values are hashed here, so that no raw one is ever written.
    """
    if call.rows is not None:
        return {"rows": _picked(shape, call.rows, hashing)} | _entities(shape, call.rows, hashing)
    columns = call.columns or {}
    logged = [_column(columns.get(name), name in shape.personal, hashing) for name in shape.names]
    rows = [] if shape.tells_entity or not shape.entity else _entity_rows(shape, columns, call.count)
    return {"columns": logged} | _entities(shape, rows, hashing)


def read(data: bytes) -> dict[str, Any] | None:
    """The record of a line; None if the line is damaged."""
    try:
        record = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(record, dict) or not all(isinstance(record.get(name), str) for name in ("kind", "model")):
        return None
    whole = record["kind"] in _KINDS and type(record.get("version", 0)) is int
    return record if whole and (record["kind"] != SHAPE or _is_shape(record)) else None


def _is_shape(record: Mapping[str, Any]) -> bool:
    typed = (record.get("columns"), record.get("entity"))
    lists = (record.get("personal"), record.get("classes", []))
    return (
        "version" in record
        and all(isinstance(one, dict) and all(kind in _TYPES for kind in one.values()) for one in typed)
        and all(isinstance(one, list) and all(isinstance(name, str) for name in one) for one in lists)
        and _is_zone(record.get("time_zone"))
    )


def _is_zone(name: object) -> bool:
    try:
        return isinstance(name, str) and bool(ZoneInfo(name).key)
    except (KeyError, ValueError, IsADirectoryError):
        return False


def logged_rows(record: Mapping[str, Any]) -> Iterator[Sequence[Any]]:
    """The rows of a record as values in the shape's order; nothing for kinds without inputs."""
    if "rows" in record:
        yield from record["rows"]
    elif "columns" in record:
        count = record["count"]
        yield from zip(*(values or [None] * count for values in record["columns"]), strict=True)


def problem(error: str, shape: Shape) -> str:
    """An error's words as they may be kept: on one line, not too long, and without what they may quote of a person."""
    if shape.personal:
        return "it failed; its words are not kept, since they may quote personal columns"
    whole = error.encode("utf-8", "replace").decode()  # half a surrogate pair could not be read again
    return " ".join(whole.split())[:_ERROR_LETTERS]


def _picked(shape: Shape, rows: Sequence[Row], hashing: Hashing) -> list[Sequence[Any]]:
    try:
        picked = list(map(shape.pick, rows))
    except KeyError:  # entity columns are optional
        picked = [[row.get(name) for name in shape.names] for row in rows]
    if not shape.hashed:
        return picked
    return [
        [hashing.value(value) if place in shape.hashed else value for place, value in enumerate(values)]
        for values in picked
    ]


def _column(values: Any, personal: bool, hashing: Hashing) -> Any:
    if personal and values is not None:
        return [hashing.value(value) for value in (values if isinstance(values, list) else values.tolist())]
    return values.tolist() if getattr(getattr(values, "dtype", None), "kind", "") in {"O", "U"} else values


def _entities(shape: Shape, rows: Sequence[Row], hashing: Hashing) -> dict[str, Any]:
    if shape.tells_entity or not shape.entity:
        return {}
    columns = [[row.get(name) for row in rows] for name in shape.entity]
    keys = entity_keys(shape.entity, columns, shape.time_zone)
    return {"entity": [None if key is None else hashing.text(key) for key in keys]}


def _entity_rows(shape: Shape, columns: Mapping[str, Any], count: int) -> list[Row]:
    known = {name: columns[name] for name in shape.entity if columns.get(name) is not None}
    lists = {name: values if isinstance(values, list) else values.tolist() for name, values in known.items()}
    return [{name: values[number] for name, values in lists.items()} for number in range(count)]


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # numpy's scalars, and arrays that are not contiguous
        return value.tolist()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)
