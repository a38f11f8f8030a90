"""One past request by its id: from the table, or, if it was answered a moment ago, from the segments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from include.hashing import Hashing
from include.lake.connections import open_duckdb, query_table
from include.serving.request_log import records, segments
from include.serving.request_log.batches import Logged, inference_tables
from include.serving.request_log.records import Shape
from include.serving.request_log.tables import INFERENCE, INPUT_PREFIX, INPUT_TYPES, dataset
from include.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

_SPANS: Final = ((1, 0), (8, 2), (100_000, 9))
"""Days back, from and to, that are searched one after the other: most who ask, ask soon."""


@dataclass(frozen=True, kw_only=True)
class LoggedRow:
    """One row of a past request as one version saw it.

    :param answered: whether this version's prediction was the answer; else it was scored beside, or failed.
    :param inputs: the version's input columns; personal ones as hashes; empty for a score beside the answer.
    """

    row: int
    at: datetime
    version: int
    role: str
    answered: bool
    prediction: float | None
    latency_us: int | None
    error: str | None
    inputs: dict[str, Any]


def find_request(settings: Settings, model: str, request_id: str) -> list[LoggedRow]:
    """The rows of a request, those of the answer first; empty if it is not in the log.

    Reads the newest days first; an id that is not there costs a scan of the whole table's ids.
    """
    today = datetime.now(UTC)
    for back_from, back_to in _SPANS:
        first, last = (f"{today - timedelta(days=min(days, 20_000)):%Y-%m-%d}" for days in (back_from, back_to))
        found = _in_table(settings, model, request_id, first, None if back_to == 0 else last)
        if found:
            return found
        if back_to == 0:
            # What is in neither may have gone from one to the other between the two looks.
            fresh = _in_segments(settings, model, request_id) or _in_table(settings, model, request_id, first, None)
            if fresh:
                return fresh
    return []


def _in_table(settings: Settings, model: str, request_id: str, first: str, last: str | None) -> list[LoggedRow]:
    rows = dataset(settings, model, "inference", first_day=first, last_day=last)
    with open_duckdb(settings) as connection:
        connection.register("logged", rows)
        found = query_table(connection, "SELECT * FROM logged WHERE request_id = ?", [request_id])
    return _logged_rows(found)


def _in_segments(settings: Settings, model: str, request_id: str) -> list[LoggedRow]:
    """Records that no table has yet; a segment is only looked into if it holds the id at all."""
    needle = b'"' + request_id.encode() + b'"'
    logged = []
    for segment in segments.list_segments(segments.log_folder(settings.home)):
        try:
            logged += _matching(segment, model, request_id, needle)
        except FileNotFoundError:
            continue
    if not logged:
        return []
    made = inference_tables(logged, Hashing.of(settings), {})
    return _logged_rows(*made.by_version.values())


def _matching(segment: segments.Segment, model: str, request_id: str, needle: bytes) -> list[Logged]:
    shapes: dict[int, Shape] = {}
    found = []
    for end, data in segments.read_lines(segment):
        is_shape = b'"kind":"shape"' in data
        if not is_shape and needle not in data:
            continue
        record = records.read(data)
        if record is None or record["model"] != model:
            continue
        if is_shape and record["kind"] == records.SHAPE:
            shapes[record["version"]] = Shape.read(record)
        elif record.get("id") == request_id and record["kind"] != records.FEEDBACK:
            found.append(Logged(segment.name, end, record, shapes.get(record["version"])))
    return found


def _logged_rows(*tables: pa.Table) -> list[LoggedRow]:
    rows = [
        LoggedRow(
            row=row["row"],
            at=row["at"],
            version=row["version"],
            role=row["role"],
            answered=row["answered"],
            prediction=row["prediction"],
            latency_us=row["latency_us"],
            error=row["error"],
            inputs={} if row["protocol"] is None else _inputs(row),
        )
        for table in tables
        for row in table.to_pylist()
    ]
    return sorted(rows, key=lambda row: (not row.answered, row.version, row.row))


def _inputs(row: dict[str, Any]) -> dict[str, Any]:
    """Inputs by their own names; a column that once had another type carries its type in the table's name."""
    inputs: dict[str, Any] = {}
    for name, value in row.items():
        if name in _FIXED or not name.startswith(INPUT_PREFIX):
            continue
        plain = name.removeprefix(INPUT_PREFIX)
        base, _, kind = plain.rpartition("_")
        if kind in INPUT_TYPES and f"{INPUT_PREFIX}{base}" in row:
            plain = base
        shown = value.isoformat() if isinstance(value, datetime) else value
        if inputs.get(plain) is None:
            inputs[plain] = shown
    return inputs


_FIXED: Final = frozenset(INFERENCE.names)
