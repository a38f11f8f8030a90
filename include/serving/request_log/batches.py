"""Records of one model become rows of its tables: typed Arrow tables, one for each version's inferences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from zoneinfo import ZoneInfo

import pyarrow as pa

from include.hashing import Hashing
from include.serving.request_log import records
from include.serving.request_log.oddities import tables_of
from include.serving.request_log.records import Shape
from include.serving.request_log.tables import CLASS_COLUMNS, DAY, FEEDBACK, INFERENCE, INPUT_TYPES, input_names
from include.serving.routing import entity_keys

_BY_CLASS: Final = tuple(column.name for column in CLASS_COLUMNS)
_DAY_US: Final = 86_400_000_000
_MOST_ROWS: Final = 10_000_000
Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Logged:
    """A record with its place.

    :param end: offset of the record's end in its segment.
    :param shape: of the record's version, if the record has inputs.
    """

    segment: str
    end: int
    record: Record
    shape: Shape | None = None


@dataclass
class _Rows:
    """Rows of one version while they are gathered, by column."""

    fixed: dict[str, list[Any]]
    inputs: list[list[Any]]


@dataclass(frozen=True)
class Tables:
    """What records became.

    :param by_version: rows of ``inference`` for each version; for feedback one table under version 0.
    :param odd: records that could not be understood, each with the reason.
    """

    by_version: dict[int, pa.Table]
    odd: list[tuple[Logged, str]]


def inference_tables(logged: Iterable[Logged], hashing: Hashing, types: Mapping[str, pa.DataType]) -> Tables:
    """The rows of answers, failures and shadow scores as one table for each version.

    :param hashing: for the entities that the logged inputs show.
    :param types: the columns that the Delta table has, with their types; an input whose type is another one now gets
        a column named after its type.
    """
    groups: dict[tuple[int, tuple[tuple[str, str], ...]], list[Logged]] = {}
    for item in logged:
        shape = item.shape if item.record["kind"] != records.SHADOW else None
        identity = (item.record.get("version", 0), tuple(shape.columns.items()) if shape else ())
        groups.setdefault(identity, []).append(item)
    tables: dict[int, list[pa.Table]] = {}
    odd: list[tuple[Logged, str]] = []
    known = dict(types)
    for (version, columns), items in groups.items():
        shape = items[0].shape if columns else None
        make = partial(_gathered, shape=shape, hashing=hashing, types=known)
        for made in tables_of(items, make, odd):
            known |= {column.name: column.type for column in made.schema}
            tables.setdefault(version, []).append(made)
    joined = {version: pa.concat_tables(parts, promote_options="default") for version, parts in tables.items()}
    return Tables(joined, odd)


def feedback_table(logged: Iterable[Logged]) -> Tables:
    """The labels of feedback records."""
    odd: list[tuple[Logged, str]] = []
    made = list(tables_of(list(logged), _label_table, odd))
    return Tables({0: pa.concat_tables(made)} if made else {}, odd)


def _label_table(logged: Sequence[Logged]) -> pa.Table:
    rows = [row for item in logged for row in _labels(item)]
    by_column = list(zip(*rows, strict=True)) or [()] * len(FEEDBACK)
    arrays = [pa.array(values, wanted.type) for values, wanted in zip(by_column, FEEDBACK, strict=True)]
    return pa.table(arrays, schema=FEEDBACK)


def _labels(item: Logged) -> list[tuple[Any, ...]]:
    received = item.record["at"]
    return [
        (request_id, row, entity, label, at, received, item.segment, item.end, number, _day(received))
        for number, (request_id, row, entity, label, at) in enumerate(item.record["labels"])
    ]


def input_column(name: str, kind: str, types: Mapping[str, pa.DataType]) -> str:
    """The column for an input; another one if the table has a column of this name and another type."""
    plain, typed = input_names(name, kind)
    known = types.get(plain)
    return plain if known is None or known == INPUT_TYPES[kind] else typed


def _gathered(
    logged: Sequence[Logged], shape: Shape | None, hashing: Hashing, types: Mapping[str, pa.DataType]
) -> pa.Table:
    inputs: list[list[Any]] = [[] for _ in shape.columns] if shape else []
    gathered = _Rows({name: [] for name in (*INFERENCE.names, *_BY_CLASS)}, inputs)
    for item in logged:
        _gather(gathered, item, hashing)
    return _inference_table(gathered, shape, types)


def _inference_table(gathered: _Rows, shape: Shape | None, types: Mapping[str, pa.DataType]) -> pa.Table:
    columns = {f.name: pa.array(gathered.fixed[f.name], f.type) for f in INFERENCE}
    for f in CLASS_COLUMNS:
        if any(value is not None for value in gathered.fixed[f.name]):
            columns[f.name] = pa.array(gathered.fixed[f.name], f.type)
    if shape is not None and shape.columns:
        for (name, given), values in zip(shape.columns.items(), gathered.inputs, strict=True):
            kind = "string" if name in shape.personal else given
            columns[input_column(name, kind, types)] = _typed(values, kind, shape.time_zone)
    return pa.table(columns)


def _answered_rows(item: Logged, hashing: Hashing) -> _Part:
    """Rows of an answer or a failure."""
    record, shape = item.record, item.shape
    if shape is None:
        raise ValueError("its version was never described")
    count = record["count"]
    if not 0 <= count <= _MOST_ROWS:
        raise ValueError(f"it says that it has {count} rows")
    rows = list(records.logged_rows(record))
    answered = record["kind"] == records.ANSWER
    columns = {
        "row": range(count),
        "answered": [answered] * count,
        "asked": [record["asked"]] * count,
        "entity": _entities(record, rows, shape, hashing),
        "protocol": [record["protocol"]] * count,
        **_said(record["predictions"] if answered else [None] * count, shape.classes),
        "latency_us": [record["latency"]] * count,
        "champion_latency_us": [None] * count,
        "error": [record.get("error")] * count,
    }
    wide = len(shape.columns)
    if min(map(len, rows), default=wide) < wide:
        raise ValueError("a row is too short")
    return _Part(count, columns, list(zip(*rows, strict=False))[:wide])


def _said(values: Sequence[Any], classes: Sequence[str]) -> dict[str, Sequence[Any]]:
    """Answers by column: numbers as they are; of several classes the place and the name of the likeliest one too.

    :raises ValueError: one is none.
    """
    if not classes:
        return {
            "prediction": values if set(map(type, values)) == {float} else [_prediction(value) for value in values],
            **dict.fromkeys(_BY_CLASS, [None] * len(values)),
        }
    answers = [_probabilities(value, classes) for value in values]
    places = [None if row is None else max(range(len(classes)), key=row.__getitem__) for row in answers]
    return {
        "prediction": [None if place is None else float(place) for place in places],
        "predicted_class": [None if place is None else classes[place] for place in places],
        "probabilities": answers,
    }


def _probabilities(value: Any, classes: Sequence[str]) -> list[float] | None:
    """One answer; None if one of its numbers is NaN, which was written as null.

    :raises ValueError: it is none, which must not hold the other records up.
    """
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != len(classes):
        raise ValueError(f"its prediction {value!r:.80} is not one probability for each of {len(classes)} classes")
    numbers = [_prediction(number) for number in value]
    known = [number for number in numbers if number is not None]
    return known if len(known) == len(numbers) else None


def _prediction(value: Any) -> float | None:
    """One number; NaN was written as null.

    :raises ValueError: it is none, which must not hold the other records up.
    """
    if value is None or type(value) in {int, float}:
        return None if value is None else float(value)
    raise ValueError(f"its prediction {value!r} is not a number")


def _scored_rows(item: Logged, _: Hashing) -> _Part:
    """Rows of a shadow record: number, prediction, latency, champion's latency, error."""
    scores = item.record["scores"]
    numbers, predictions, latencies, champions, errors = zip(*scores, strict=True) if scores else ([],) * 5
    count = len(scores)
    columns = {
        "row": numbers,
        "answered": [False] * count,
        "asked": [False] * count,
        "entity": [None] * count,
        "protocol": [None] * count,
        **_said(predictions, item.record.get("classes") or ()),
        "latency_us": latencies,
        "champion_latency_us": champions,
        "error": errors,
    }
    return _Part(count, columns, [])


def _gather(gathered: _Rows, item: Logged, hashing: Hashing) -> None:
    """Add a record's rows.

    :raises ValueError, KeyError, TypeError, IndexError, ArithmeticError: the record is not what it should be.
    """
    record = item.record
    part = _PARTS[record["kind"]](item, hashing)
    same = {
        "request_id": record["id"], "at": record["at"], "version": record["version"], "role": record["role"],
        "deployment": record["deployment"], "revision": record["revision"], "rows_in_request": record["count"],
        "segment": item.segment, "position": item.end, DAY: _day(record["at"]),
    }  # fmt: skip
    if any(len(values) != part.count for values in (*part.columns.values(), *part.inputs)):
        raise ValueError("its columns differ in length")
    for name, values in part.columns.items():
        gathered.fixed[name].extend(values)
    for name, value in same.items():
        gathered.fixed[name].extend([value] * part.count)
    for known, values in zip(gathered.inputs, part.inputs, strict=False):  # a shadow score has none
        known.extend(values)


@dataclass(frozen=True, slots=True)
class _Part:
    """The rows of one record: by column what differs from row to row, and the inputs by column."""

    count: int
    columns: Mapping[str, Sequence[Any]]
    inputs: Sequence[Sequence[Any]]


_PARTS: Final[dict[str, Callable[[Logged, Hashing], _Part]]] = {
    records.ANSWER: _answered_rows,
    records.FAILURE: _answered_rows,
    records.SHADOW: _scored_rows,
}


def _entities(record: Record, rows: Sequence[Sequence[Any]], shape: Shape, hashing: Hashing) -> list[str | None]:
    if "entity" in record:
        return list(record["entity"])
    if not shape.tells_entity:
        return [None] * int(record["count"])
    places = [shape.names.index(name) for name in shape.entity]
    keys = entity_keys(shape.entity, [[row[place] for row in rows] for place in places], shape.time_zone)
    return [None if key is None else hashing.text(key) for key in keys]


def _day(microseconds: int) -> str:
    number = microseconds // _DAY_US
    if number not in _days:
        if len(_days) > 1000:
            _days.clear()
        _days[number] = f"{datetime.fromtimestamp(number * 86_400, UTC):%Y-%m-%d}"
    return _days[number]


_days: dict[int, str] = {}


def _typed(values: Sequence[Any], kind: str, time_zone: str) -> pa.Array:
    """Values as the declared type; what is none of it (only rows on which a version failed may have such) is null."""
    if kind == "timestamp":
        return _timestamps(values, time_zone)
    try:
        return pa.array(values, INPUT_TYPES[kind])
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, OverflowError):
        return pa.array([_or_null(_CASTS[kind], value) for value in values], INPUT_TYPES[kind])


def _timestamps(values: Sequence[Any], time_zone: str) -> pa.Array:
    try:  # texts without a zone and with at most microseconds
        return pa.array(values, pa.string()).cast(INPUT_TYPES["timestamp"])
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        zone = ZoneInfo(time_zone)
        return pa.array([_or_null(_local, value, zone) for value in values], INPUT_TYPES["timestamp"])


def _or_null(cast: Callable[..., Any], value: Any, *more: Any) -> Any:
    try:
        return None if value is None else cast(value, *more)
    except (ValueError, TypeError, OverflowError):
        return None


def _local(value: Any, zone: ZoneInfo) -> datetime:
    """The local time that a text means, as the packaged model reads it."""
    instant = datetime.fromisoformat(value.strip())
    return instant if instant.tzinfo is None else instant.astimezone(zone).replace(tzinfo=None)


def _integer(value: Any) -> int:
    number = int(value)
    if number != value or not -(2**63) <= number < 2**63:
        raise ValueError(value)
    return number


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


_CASTS: Final[dict[str, Callable[..., Any]]] = {
    "integer": _integer,
    "number": float,
    "boolean": _boolean,
    "string": str,
}
