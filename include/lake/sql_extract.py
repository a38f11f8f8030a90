"""Reads windows of a SQL source into files, several at once, in bounded memory, and goes on after a cut.

Each window is one statement and becomes one CSV file below the store's staging area, in a folder that is named by the
content of the request (model, connection, rows, columns, window). A file appears whole or not at all, so that a later
attempt reads only the windows that are missing.

Consistency: a window is what the database held at one instant, that of its statement. Windows of one read may be of
different instants: they run at the same time, and after a cut some are up to :data:`KEPT_HOURS` older than the others.
A partition that is read whole by one window (always, unless ``source.chunk`` cuts it) is therefore one state of the
database. What changes after a partition was read is found when it is ingested again, by its rows.
"""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import os
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from include.lake.paths import staging_folder
from include.lake.sql_faults import asking
from include.lake.sql_session import csv_value, open_engine, open_session
from include.lake.sql_statement import TimeForm, any_row_statement, time_form, window_statement
from include.lake.store import store_of
from include.lake.time_windows import Window
from include.settings import Settings
from include.spec.definition import Definition

KEPT_HOURS: Final = 24
_FORMAT: Final = 1  # raised when the same request would give other files
_ROWS_AT_ONCE: Final = 5_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Extract:
    """A window that has been read.

    :param path: CSV file with a header and the declared columns.
    :param kept: whether an earlier attempt had read it.
    """

    window: Window
    path: Path
    kept: bool


class _Stopped(Exception):
    """Another window failed, so this one is not needed any more."""


class SqlReader:
    """Reads the source of one model.

    :raises NoConnection: if its connection is not known here.
    """

    def __init__(self, settings: Settings, definition: Definition) -> None:
        self._settings = settings
        self._definition = definition
        self._source = definition.source
        self._name = self._source.connection or ""
        self._url = settings.connection(self._name)
        self._store = store_of(settings)
        self._stop = Event()
        self.shown = f"{self._source.table or 'the query'} of the connection {self._name}"

    def time_form(self) -> TimeForm:
        """How the database keeps the event time.

        :raises SourceAway: if it does not answer.
        :raises SourceBroken: if it refuses login or query.
        """
        with open_session(self._name, self._url) as connection:
            return time_form(connection, self._source)

    def has_rows(self, form: TimeForm, bounds: Sequence[tuple[datetime, datetime]]) -> list[bool]:
        """For each window whether it has at least one row."""
        with open_session(self._name, self._url) as connection:
            statements = [any_row_statement(self._source, form, low, high) for low, high in bounds]
            return [connection.execute(statement).first() is not None for statement in statements]

    def extract(self, form: TimeForm, windows: Sequence[Window], *, fresh: bool = False) -> list[Extract]:
        """Read windows, ``source.parallel`` at once; those that an earlier attempt has read are kept.

        :param fresh: read them all.
        :raises SourceAway: if the database was lost; windows that were read whole are kept.
        :raises SourceBroken: if it refuses.
        """
        folder = self._folder
        folder.mkdir(parents=True, exist_ok=True)
        known = {} if fresh else self._known(folder)
        kept = [Extract(window, known[window.name], True) for window in windows if window.name in known]
        missing = [window for window in windows if window.name not in known]
        _log.info("%s: %d windows to read, %d are there from a read that was cut", self.shown, len(missing), len(kept))
        read = self._read_all(form, missing, folder)
        return sorted([*kept, *read], key=lambda extract: extract.window.low)

    def forget(self) -> None:
        """Remove the files of all windows: they have been staged."""
        self._store.remove_folder(self._folder)

    @property
    def _folder(self) -> Path:
        source = self._source
        request = [_FORMAT, source.connection, source.table, source.query, source.filter, source.time_column]
        text = json.dumps([*request, list(source.columns)])
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        return staging_folder(self._settings, self._definition.model, "raw", f"extract-{digest}")

    def _known(self, folder: Path) -> dict[str, Path]:
        """Files of an earlier attempt by the names of their windows; old ones are removed."""
        files = [path for path in self._store.find(folder, "*.csv") if not path.name.startswith(".")]
        self._store.fetch(*files)
        oldest = time.time() - KEPT_HOURS * 3600
        old = [path for path in files if path.is_file() and path.stat().st_mtime < oldest]
        self._store.remove(*old)
        return {path.stem: path for path in files if path.is_file()}

    def _read_all(self, form: TimeForm, windows: Sequence[Window], folder: Path) -> list[Extract]:
        if not windows:
            return []
        count = min(self._source.parallel, len(windows))
        with open_engine(self._name, self._url) as engine, ThreadPoolExecutor(count) as pool:
            futures = [pool.submit(self._read, engine, form, window, folder) for window in windows]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
                failed = [error for future in done if (error := future.exception()) is not None]
                if failed:
                    raise next((error for error in failed if not isinstance(error, _Stopped)), failed[0])
            except BaseException:
                self._stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
            return [future.result() for future in futures]

    def _read(self, engine: Engine, form: TimeForm, window: Window, folder: Path) -> Extract:
        target = folder / f"{window.name}.csv"
        partial = folder / f".{target.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}"
        statement = window_statement(self._source, form, window.low, window.high)
        started = time.monotonic()
        try:
            with asking(self._name, self._url), engine.connect() as connection, partial.open("w", newline="") as file:
                rows = self._copy(connection, statement, file)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        self._store.deliver(target)
        _log.info(
            "%s: read %s to %s, %d rows in %.1f s",
            self.shown,
            window.low,
            window.high,
            rows,
            time.monotonic() - started,
        )
        return Extract(window, target, False)

    def _copy(self, connection: Connection, statement: sa.Select[Any], file: Any) -> int:
        """Write a statement's rows as CSV and count them; memory holds some thousands of rows at most."""
        if _is_psycopg2(connection):
            return _copy_by_postgres(connection, statement, file)
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(self._source.columns)
        count = 0
        streamed = connection.execution_options(stream_results=True, max_row_buffer=_ROWS_AT_ONCE)
        for rows in streamed.execute(statement).partitions(_ROWS_AT_ONCE):
            if self._stop.is_set():
                raise _Stopped
            writer.writerows([[csv_value(value) for value in row] for row in rows])
            count += len(rows)
        return count


def _is_psycopg2(connection: Connection) -> bool:
    return (connection.dialect.name, connection.dialect.driver) == ("postgresql", "psycopg2")


def _copy_by_postgres(connection: Connection, statement: sa.Select[Any], file: Any) -> int:
    """PostgreSQL writes CSV itself, which is several times faster than row by row."""
    dialect = connection.dialect
    compiled = statement.compile(dialect=dialect)
    cursor: Any = connection.connection.cursor()
    try:
        query = cursor.mogrify(str(compiled), compiled.params).decode()
        cursor.copy_expert(f"COPY ({query}) TO STDOUT (FORMAT csv, HEADER)", file)
    except dialect.loaded_dbapi.Error as error:
        driver = dialect.loaded_dbapi.Error
        raise DBAPIError.instance(None, None, error, driver, hide_parameters=True, dialect=dialect) from None
    return int(cursor.rowcount)
