"""The two Delta tables that the request log becomes: their columns, and scans of them into DuckDB.

``inference`` has one row for each row of each request and version: the answer's (``answered``), a failure's or a
shadow score's (both not ``answered``). ``feedback`` has one row for each label as it came in.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

import pyarrow as pa
import pyarrow.dataset

from include.lake.connections import quote_name
from include.lake.table import LakeTable
from include.settings import Settings

if TYPE_CHECKING:
    import duckdb

LogTable = Literal["inference", "feedback"]
DAY: Final = "day"
INPUT_PREFIX: Final = "input_"
_INSTANT: Final = pa.timestamp("us", "UTC")
CLASS_COLUMNS: Final = (
    pa.field("predicted_class", pa.string()),
    pa.field("probabilities", pa.list_(pa.float64())),
)
"""What ``inference`` has besides for a model of several classes: the answer's name, and the probabilities in the
classes' order. Its ``prediction`` is the class's place among them, as a feedback's ``label`` is."""

INFERENCE: Final = pa.schema(
    [
        pa.field("request_id", pa.string()),
        pa.field("row", pa.int64()),
        pa.field("at", _INSTANT),
        pa.field("version", pa.int64()),
        pa.field("role", pa.string()),
        pa.field("answered", pa.bool_()),
        pa.field("asked", pa.bool_()),
        pa.field("deployment", pa.string()),
        pa.field("revision", pa.int64()),
        pa.field("entity", pa.string()),
        pa.field("protocol", pa.string()),
        pa.field("prediction", pa.float64()),
        pa.field("latency_us", pa.int64()),
        pa.field("champion_latency_us", pa.int64()),
        pa.field("error", pa.string()),
        pa.field("rows_in_request", pa.int64()),
        pa.field("segment", pa.string()),
        pa.field("position", pa.int64()),
        pa.field(DAY, pa.string()),
    ]
)
"""``at``: when the request came. ``role``: the version's when it was asked or scored. ``asked``: the caller named the
version. ``entity``: hash of the row's entity. ``latency_us``: of the whole request for answers, of this row alone for
shadow scores; ``champion_latency_us``: the champion's on the same row in the same process, on every fourth one.
``segment`` and ``position`` (end of the record) say where it was logged. ``day``: UTC date of ``at``. Beside these
stand ``input_<column>``, null for shadow scores."""

FEEDBACK: Final = pa.schema(
    [
        pa.field("request_id", pa.string()),
        pa.field("row", pa.int64()),
        pa.field("entity", pa.string()),
        pa.field("label", pa.float64()),
        pa.field("at", _INSTANT),
        pa.field("received_at", _INSTANT),
        pa.field("segment", pa.string()),
        pa.field("position", pa.int64()),
        pa.field("item", pa.int64()),
        pa.field(DAY, pa.string()),
    ]
)
"""A label is for ``request_id`` and ``row``, or for ``entity`` (hash; the request is null then). ``at``: when it became
known. The order of arrival is ``received_at, segment, position, item``. ``day``: UTC date of ``received_at``."""

SCHEMAS: Final[dict[LogTable, pa.Schema]] = {"inference": INFERENCE, "feedback": FEEDBACK}
INPUT_TYPES: Final[dict[str, pa.DataType]] = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us"),
}


def input_names(name: str, kind: str) -> tuple[str, str]:
    """The column that an input is logged in, and the one if the table knows the first with another type."""
    return f"{INPUT_PREFIX}{name}", f"{INPUT_PREFIX}{name}_{kind}"


def scan_inference(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    model: str,
    name: str,
    *,
    since: datetime | None = None,
    columns: Collection[str] | None = None,
) -> None:
    """Make the model's ``inference`` table readable as the view ``name``; without a table yet the view is empty.

    :param since: only requests that came at this instant (with time zone) or later.
    :param columns: only these columns (None: all).
    """
    _scan(connection, settings, model, "inference", name, "at", since, columns)


def scan_feedback(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    model: str,
    name: str,
    *,
    since: datetime | None = None,
    columns: Collection[str] | None = None,
) -> None:
    """Make the model's ``feedback`` table readable as the view ``name``; without a table yet the view is empty.

    :param since: only labels that were received at this instant (with time zone) or later.
    :param columns: only these columns (None: all).
    """
    _scan(connection, settings, model, "feedback", name, "received_at", since, columns)


def dataset(
    settings: Settings,
    model: str,
    table: LogTable,
    *,
    first_day: str | None = None,
    last_day: str | None = None,
) -> pyarrow.dataset.Dataset:
    """A log table's rows of some days (UTC dates, both included) as an Arrow dataset that reads nothing yet."""
    lake = LakeTable(settings, model, table)
    if not lake.exists():
        return pyarrow.dataset.dataset(SCHEMAS[table].empty_table())
    days = [(DAY, ">=", first_day)] if first_day else []
    days += [(DAY, "<=", last_day)] if last_day else []
    return lake.local_dataset(lake.open(), days or None)


def _scan(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    model: str,
    table: LogTable,
    name: str,
    instant: str,
    since: datetime | None,
    columns: Collection[str] | None,
) -> None:
    # A day earlier than asked: the row filter decides, the day only spares files.
    first_day = None if since is None else f"{since - timedelta(days=1):%Y-%m-%d}"
    hidden = f"{name}__files"
    connection.register(hidden, dataset(settings, model, table, first_day=first_day))
    chosen = "*" if columns is None else ", ".join(quote_name(column) for column in columns)
    wanted = "" if since is None else f" WHERE {quote_name(instant)} >= TIMESTAMPTZ '{since.isoformat()}'"
    connection.execute(
        f"CREATE OR REPLACE TEMP VIEW {quote_name(name)} AS SELECT {chosen} FROM {quote_name(hidden)}{wanted}"  # nosec B608
    )
