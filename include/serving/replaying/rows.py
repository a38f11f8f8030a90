"""The rows that are replayed: later partitions from the raw table, or from the source's files if not ingested yet."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow.dataset

from include.errors import NothingToDo, Refused
from include.features.history import Pasts
from include.features.select import label_item
from include.lake.columns import LABEL, ROW
from include.lake.connections import open_duckdb, query_table, quote_name, quote_text
from include.lake.paths import from_store, staging_folder
from include.lake.sources import open_source
from include.lake.store import store_of
from include.lake.table import LakeTable
from include.settings import Settings
from include.spec.columns import input_columns
from include.spec.definition import Definition
from include.spec.histories import row_columns

_log = logging.getLogger(__name__)


class NothingToReplay(NothingToDo):
    """No partition of the range is in the raw table or in the source's files.

    :param missing: the partitions' keys, with what is wrong with each.
    """

    def __init__(self, model: str, missing: dict[str, str]) -> None:
        self.missing = missing
        first = next(iter(missing.values()), "there is none")
        super().__init__(
            f"Nothing of {model} can be replayed: none of {', '.join(list(missing)[:5]) or 'the range'} is in the raw "
            f"table or in the source ({first}). Let the data arrive, run {model}.data for it, or name other partitions."
        )


class LabelFailed(Refused):
    """The definition's label expression cannot be computed for a partition."""

    def __init__(self, model: str, key: str, error: Exception) -> None:
        self.key = key
        words = " ".join(str(error).split("\n")[0].split())
        super().__init__(
            f"The label of {model} cannot be computed for partition {key}: {words}. Correct label.expression in "
            'the definition, or replay with "labels": false.'
        )


@dataclass(frozen=True, slots=True)
class ReplayRow:
    """One row that becomes a request.

    :param partition: key of its partition.
    :param number: its place in the partition.
    :param values: input and entity columns; times are naive local ones.
    :param label: what really happened, or None where nothing is known.
    """

    partition: str
    number: int
    values: dict[str, Any]
    label: float | str | None


@dataclass
class LaterRows:
    """Partitions that can be read, in order.

    :param published: keys that come from the raw table.
    :param delivered: keys that come from the source's files, read as ingest reads them; nothing of them is published.
    :param missing: keys that are nowhere, or cannot be read, with the reason.
    """

    settings: Settings
    definition: Definition
    labels: bool
    published: list[str] = field(default_factory=list)
    delivered: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def keys(self) -> list[str]:
        """What can be read, oldest first."""
        return sorted([*self.published, *self.delivered])

    def read(self, key: str) -> list[ReplayRow]:
        """All rows of a partition, in the raw table's order.

        :raises LabelFailed: the label expression does not work on them.
        """
        connection = open_duckdb(self.settings)
        try:
            self._scan(connection, key)
            return self._rows(connection, key)
        except (duckdb.DataError, duckdb.InvalidInputException) as error:
            raise LabelFailed(self.definition.model, key, error) from error
        finally:
            connection.close()

    def _scan(self, connection: duckdb.DuckDBPyConnection, key: str) -> None:
        """The partition's rows as the view ``rows``, with their values of the past."""
        pasts = Pasts(self.settings, self.definition)
        view = "own_rows" if pasts.columns else "rows"
        if key in self.delivered:
            file = from_store(self.settings, self.delivered[key])
            connection.register(view, pyarrow.dataset.dataset(file, format="parquet"))
        else:
            LakeTable(self.settings, self.definition.model, "raw").scan(connection, view, keys=[key])
        if pasts.columns:
            connection.execute(
                f"CREATE TEMP VIEW keyed_rows AS SELECT *, {quote_text(key)} AS _of FROM own_rows"  # nosec B608
            )
            pasts.join(connection, "keyed_rows", "rows", [key], partition="_of")

    def _rows(self, connection: duckdb.DuckDBPyConnection, key: str) -> list[ReplayRow]:
        names = request_columns(self.definition)
        items = [quote_name(name) for name in (ROW, *names)]
        items.append(label_item(self.definition) if self.labels else f"NULL AS {LABEL}")
        table = query_table(connection, f"SELECT {', '.join(items)} FROM rows ORDER BY {ROW}")  # nosec B608
        columns = [table.column(index).to_pylist() for index in range(table.num_columns)]
        classes = self.definition.label.class_names
        return [
            ReplayRow(key, number, dict(zip(names, values, strict=True)), _named(label, classes))
            for number, *values, label in zip(*columns, strict=True)
        ]


def _named(label: float | None, classes: Sequence[str]) -> float | str | None:
    """The label as a caller sends it: of several classes its name."""
    return classes[int(label)] if classes and label is not None else label


def request_columns(definition: Definition) -> list[str]:
    """The columns that a request carries: the model's inputs, and what identifies a row."""
    wanted = {*input_columns(definition), *definition.source.entity}
    return [name for name in row_columns(definition) if name in wanted]


@contextmanager
def later_rows(
    settings: Settings, definition: Definition, keys: Sequence[str], *, attempt: str, labels: bool
) -> Iterator[LaterRows]:
    """Find partitions; those that are not in the raw table are read from the source into a folder of this attempt.

    :param keys: wanted partitions, oldest first.
    :param labels: whether labels are computed too.
    :raises NothingToReplay: none of them is there.
    """
    raw = LakeTable(settings, definition.model, "raw").partitions()
    found = LaterRows(settings, definition, labels, published=[key for key in keys if key in raw])
    attempt = f"replay-{attempt}"
    try:
        absent = [key for key in keys if key not in raw]
        for staged in open_source(settings, definition, attempt, "").stage(absent, {}) if absent else []:
            if staged.status == "staged" and staged.path is not None:
                found.delivered[staged.key] = staged.path
            else:
                found.missing[staged.key] = staged.problem or "it has not arrived"
        if not found.keys:
            raise NothingToReplay(definition.model, found.missing)
        for key, problem in found.missing.items():
            _log.warning("partition %s is not replayed: %s", key, problem)
        yield found
    finally:
        store_of(settings).remove_folder(staging_folder(settings, definition.model, "raw", attempt))
