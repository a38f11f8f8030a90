"""The rows that a definition takes from a Delta table: which of its files they are in, and how DuckDB selects them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any, Final

import duckdb
import pyarrow as pa

from include.errors import Refused
from include.lake.connections import open_duckdb, quote_name
from include.lake.delta_snapshot import DeltaFile, DeltaSnapshot
from include.lake.faults import cause
from include.lake.time_windows import Clock, Span
from include.settings import Settings
from include.spec.definition import Definition
from include.spec.expressions import check_expression, conjuncts
from include.spec.key_places import key_place
from include.spec.problems import KeyPath, choose

ROWS: Final = "_delta_rows"
_VALUES: Final = "delta_values"


class DeltaColumnUnfit(Refused):
    """A column that the definition names is not in the Delta table, or not of the type that it must have."""


class DeltaRows:
    """What a definition reads of a snapshot.

    :raises DeltaColumnUnfit: if a column is missing, or the event time is no time.
    """

    def __init__(self, settings: Settings, definition: Definition, snapshot: DeltaSnapshot) -> None:
        self._settings = settings
        self._definition = definition
        self.snapshot = snapshot
        self._filter = None if definition.source.filter is None else check_expression(definition.source.filter)
        self._check_columns()
        self._check_filter()
        self.clock: Clock = self._clock() if definition.source.has_time else "local"
        self._selected = self._select_files()

    def files(self, span: Span | None) -> list[DeltaFile]:
        """The files that may hold rows of a partition; of all partitions without one."""
        if span is None:
            return self._selected
        lows, highs = self._bounds
        return [
            file
            for file in self._selected
            if (highs is None or highs[file.index] is None or self._moment(highs[file.index]) >= span.low)
            and (lows is None or lows[file.index] is None or self._moment(lows[file.index]) < span.high)
        ]

    def table(self, spans: Sequence[Span], columns: Sequence[str] | None = None) -> str:
        """A table expression over :data:`ROWS`: the rows of these windows that the filter lets through.

        :param spans: in order of time; none for data without time.
        :param columns: the columns that are wanted; None: all.
        """
        chosen = "*" if columns is None else ", ".join(quote_name(name) for name in columns)
        conditions = [] if self._filter is None else [f"({self._filter.sql})"]
        if spans:
            time = quote_name(self._definition.source.time_column)
            bounds = f"{time} >= {self._literal(spans[0].low)} AND {time} < {self._literal(spans[-1].high)}"
            conditions.append(bounds)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return f"(SELECT {chosen} FROM {ROWS}{where})"  # nosec B608 # names are quoted, the filter is checked

    @property
    def instant(self) -> str | None:
        """The event time as an instant (SQL), if the table keeps instants."""
        return quote_name(self._definition.source.time_column) if self.clock == "instant" else None

    def has_row(self, span: Span | None) -> bool:
        """Whether there is at least one row of a partition (None: of all)."""
        files = self.files(span)
        if self._filter is None and any(self._is_surely_in(file, span) for file in files):
            return True
        if not files:
            return False
        connection = open_duckdb(self._settings)
        try:
            self.snapshot.register(connection, ROWS, files)
            query = f"SELECT 1 FROM {self.table([] if span is None else [span])} LIMIT 1"  # nosec B608
            return bool(connection.execute(query).fetchall())
        finally:
            connection.close()

    # ---- what is known of the files --------------------------------------------------------------------------------

    def _select_files(self) -> list[DeltaFile]:
        """Files without those whose partition values the filter excludes."""
        files, partitioned = self.snapshot.files, self.snapshot.partition_columns
        parts = [] if self._filter is None else conjuncts(self._filter.sql)
        parts = [part for part in parts if part.columns <= set(partitioned)]
        if not parts or not files:
            return files
        values = {name: self.snapshot.actions[f"partition.{name}"] for name in partitioned}
        connection = open_duckdb(self._settings)
        try:
            connection.register(_VALUES, pa.table({"_index": list(range(len(files))), **values}))
            condition = " AND ".join(f"({part.sql})" for part in parts)
            found = connection.execute(f"SELECT _index FROM {_VALUES} WHERE {condition} ORDER BY _index").fetchall()  # nosec B608
        except duckdb.Error as error:
            raise self._unfit_filter(error) from None
        finally:
            connection.close()
        return [files[index] for (index,) in found]

    @cached_property
    def _bounds(self) -> tuple[list[Any] | None, list[Any] | None]:
        """For each file the least and the greatest event time, as far as they are known."""
        column, snapshot = self._definition.source.time_column, self.snapshot
        value = snapshot.known("partition", column)
        return (value, value) if value is not None else (snapshot.known("min", column), snapshot.known("max", column))

    def _is_surely_in(self, file: DeltaFile, span: Span | None) -> bool:
        if not file.rows:
            return False
        if span is None:
            return True
        found = [None if known is None else known[file.index] for known in self._bounds]
        return all(one is not None and span.low <= self._moment(one) < span.high for one in found)

    def _moment(self, value: Any) -> datetime:
        """A known value as a partition's bounds are written: an instant, or a time on the source's clock."""
        if isinstance(value, datetime):
            return value if value.tzinfo is None or self.clock == "instant" else value.replace(tzinfo=None)
        if isinstance(value, date):
            return datetime(value.year, value.month, value.day)  # noqa: DTZ001 - on the source's clock
        raise TypeError(f"{value!r} is no time")

    # ---- columns --------------------------------------------------------------------------------------------------

    def _check_columns(self) -> None:
        source, names = self._definition.source, self.snapshot.schema.names
        wanted: list[tuple[KeyPath, str]] = []
        if source.query is None:
            wanted += [(("source", "columns", name), name) for name in source.columns]
        elif source.event_time is not None:
            wanted.append((("source", "event_time"), source.event_time))
        if self._filter is not None:
            wanted += [(("source", "filter"), name) for name in sorted(self._filter.columns)]
        for keys, name in wanted:
            if name not in names:
                raise self._unfit(keys, f"has no column {name!r}", choose(name, names, kind="columns in the table"))

    def _check_filter(self) -> None:
        """Have DuckDB bind the filter to the table's types."""
        if self._filter is None:
            return
        connection = open_duckdb(self._settings)
        try:
            connection.register(ROWS, self.snapshot.schema.empty_table())
            connection.execute(f"SELECT 1 FROM {self.table([])}")  # nosec B608 # the filter is checked
        except duckdb.Error as error:
            raise self._unfit_filter(error) from None
        finally:
            connection.close()

    def _unfit_filter(self, error: duckdb.Error) -> DeltaColumnUnfit:
        said = cause(error).partition(" LINE ")[0]
        cure = "Write a condition on its columns, with casts where types differ."
        return self._unfit(("source", "filter"), f"cannot be filtered so: {said}", cure)

    def _clock(self) -> Clock:
        name = self._definition.source.time_column
        kind = self.snapshot.schema.field(name).type
        if pa.types.is_timestamp(kind):
            return "local" if kind.tz is None else "instant"
        if pa.types.is_date(kind):
            return "local"
        cure = "The event time must be a timestamp, a timestamp_ntz or a date there; name such a column."
        raise self._unfit(("source", "event_time"), f"keeps {name!r} as {kind}, which is no time", cure)

    def _unfit(self, keys: KeyPath, what: str, cure: str) -> DeltaColumnUnfit:
        place = key_place(self._settings.models, self._definition.model, keys)
        return DeltaColumnUnfit(f"{place}: {self.snapshot.label} {what}. {cure}")

    def _literal(self, moment: datetime) -> str:
        if self.clock == "instant":
            return f"TIMESTAMPTZ '{moment.astimezone(UTC).isoformat(sep=' ')}'"
        return f"TIMESTAMP '{moment.isoformat(sep=' ')}'"
