"""The rows of a batch scoring with their values of the past, which come from the lake and not from the rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.dataset

from include.errors import Refused
from include.features.history import Pasts, history_digest
from include.lake.columns import ROW, arrow_schema
from include.lake.connections import open_duckdb, query_batches, query_table, quote_name
from include.lake.digests import inputs_digest
from include.lake.score_columns import TABLE
from include.lake.score_sources import RAW, Part, Source
from include.lake.writer import GROUP, StagingWriter
from include.settings import Settings
from include.spec.column_types import DUCKDB_TYPES
from include.spec.definition import ColumnType, Definition
from include.spec.histories import histories
from include.spec.partitions import PartitionCalendar

_OF: Final = "_of"


class HistoryChanged(Refused):
    """The version reads a group of the past that the definition does not declare any more as it was."""

    def __init__(self, model: str, version: int, group: str) -> None:
        self.group = group
        super().__init__(
            f"{model} version {version} reads the history {group}, which is not declared any more as it was when the "
            "version was trained. Score with a version that was trained since, or restore the declaration."
        )


def check_history(definition: Definition, version: int, description: Mapping[str, Any]) -> None:
    """Let no version read values that mean something else than in its training.

    :param description: the version's ``features.json``.
    :raises HistoryChanged: if it would.
    """
    today = {(one.owner.model, one.name): history_digest(one) for one in histories(definition)}
    for group in description.get("history") or ():
        if today.get((group["model"], group["group"])) != group["digest"]:
            raise HistoryChanged(definition.model, version, group["group"])


class PastSource:
    """Another source's rows with the columns of the past.

    :param source: gives the rows; it need not know of the past.
    :param attempt: names the folder of the joined rows.
    """

    def __init__(self, settings: Settings, definition: Definition, source: Source, attempt: str) -> None:
        self._settings = settings
        self._definition = definition
        self._source = source
        self._attempt = f"{attempt}-past"
        self._pasts = Pasts(settings, definition)
        self._calendar = PartitionCalendar.of(definition)
        self._plain: dict[str, Part] = {}
        self._joined: dict[str, Path] = {}

    def parts(self) -> list[Part]:
        """The source's parts; their content is also that of their past."""
        plain = self._source.parts()
        self._plain = {part.key: part for part in plain}
        return [part if part.content is None else replace(part, content=self._content(part)) for part in plain]

    def _content(self, part: Part) -> str:
        past = self._pasts.made_from(part.key) if part.data_source == RAW else self._pasts.digest()
        return inputs_digest(content=part.content, past=past)

    def rows(self, part: Part, columns: Mapping[str, ColumnType]) -> Path:
        """The source's rows, joined.

        :raises PartUnreadable: if the source cannot give them.
        """
        plain = self._plain[part.key]
        past = {name: kind for name, kind in columns.items() if name in self._pasts.columns}
        file = self._source.rows(plain, {name: kind for name, kind in columns.items() if name not in past})
        connection = open_duckdb(self._settings, threads=self._definition.training.resources.cpu)
        try:
            connection.register("own_rows", pyarrow.dataset.dataset(file, format="parquet"))
            keys = self._key_rows(connection, part)
            self._pasts.join(connection, "keyed_rows", "joined_rows", keys, partition=_OF)
            written = self._write(connection, part, columns)
        finally:
            connection.close()
            self._source.release(plain)
        self._joined[part.key] = written
        return written

    def release(self, part: Part) -> None:
        """Remove the joined rows."""
        joined = self._joined.pop(part.key, None)
        if joined is not None:
            joined.unlink(missing_ok=True)

    def _key_rows(self, connection: duckdb.DuckDBPyConnection, part: Part) -> set[str]:
        """Make the view ``keyed_rows``, which says of each row in whose partition it lies; returns those partitions."""
        time = quote_name(self._definition.source.time_column)
        moment = f"time_bucket(INTERVAL 15 MINUTE, {time})"  # no zone's clock has finer steps
        found = query_table(connection, f"SELECT DISTINCT {moment} AS moment FROM own_rows WHERE {time} IS NOT NULL")  # nosec B608
        moments: list[datetime] = found["moment"].to_pylist()
        if part.data_source == RAW:
            keys = [part.key] * len(moments)
        else:
            keys = [self._calendar.containing(self._calendar.instant(moment)).key for moment in moments]
        of = pa.table({"moment": pa.array(moments, pa.timestamp("us")), _OF: pa.array(keys, pa.string())})
        connection.register("moments", of)
        connection.execute(
            f"CREATE TEMP VIEW keyed_rows AS SELECT o.*, m.{_OF} FROM own_rows o "  # nosec B608
            f"LEFT JOIN moments m ON m.moment = {moment.replace(time, f'o.{time}')}"
        )
        return set(keys)

    def _write(self, connection: duckdb.DuckDBPyConnection, part: Part, columns: Mapping[str, ColumnType]) -> Path:
        schema = arrow_schema({name: DUCKDB_TYPES[kind] for name, kind in columns.items()})
        writer = StagingWriter(self._settings, self._definition.model, TABLE, self._attempt, schema, shared=False)
        items = ", ".join(quote_name(name) for name in columns)
        query = f"SELECT 0::INTEGER AS {GROUP}, {items} FROM joined_rows ORDER BY {ROW}"  # nosec B608
        written = writer.write(query_batches(connection, query), [part.key])[part.key]
        return self._settings.store / written.path
