"""Values of the past by key, computed by DuckDB from published raw partitions, and joined to rows.

A *tile* is one partition's share of a value. A value is made of the tiles of its window, and neither depends on the
order in which numbers are added: a sum is counted in whole millionths, as an integer, and is only at the end divided.
Values that are no number or beyond 10^18 count as missing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import duckdb
import pyarrow as pa

from include.features.history_windows import HistoryWindows
from include.lake.columns import ROW
from include.lake.connections import quote_name
from include.lake.digests import inputs_digest
from include.lake.table import LakeTable, PartitionRecord
from include.settings import Settings
from include.spec.cleaned import cleaned
from include.spec.column_types import DUCKDB_TYPES
from include.spec.columns import used_histories
from include.spec.definition import ColumnType, Definition
from include.spec.histories import History
from include.spec.history import EVERY_ROW
from include.spec.partitions import Partition, PartitionCalendar

UNITS: Final = 1_000_000
"""Parts of one in which sums are counted."""
_LARGEST: Final = 1e18
HISTORY_FORMAT: Final = 1  # raised when the same rows would give other values


def history_digest(history: History) -> str:
    """Digest (32 hex characters) of a group's declaration: equal ones give equal values for equal rows."""
    computed = {
        name: sql if sql == EVERY_ROW else cleaned(history.owner, sql).sql for name, (_, sql) in history.values.items()
    }
    return inputs_digest(format=HISTORY_FORMAT, computed=computed, **history.to_document())


@dataclass(frozen=True, kw_only=True)
class Past:
    """One group over one version of its owner's raw table.

    :param columns: the columns wanted of it.
    :param records: the owner's raw partitions.
    """

    history: History
    columns: Mapping[str, ColumnType]
    table: LakeTable
    version: int | None
    records: Mapping[str, PartitionRecord]
    windows: HistoryWindows

    @classmethod
    def of(
        cls,
        settings: Settings,
        history: History,
        columns: Mapping[str, ColumnType] | None = None,
        versions: Mapping[str, int | None] = MappingProxyType({}),
    ) -> Past:
        """The group over the newest version, or the one named, of its owner's raw table.

        :param columns: the columns wanted; all if left out.
        :param versions: see :class:`Pasts`.
        """
        model = history.owner.model
        table = LakeTable(settings, model, "raw")
        version = versions[model] if model in versions else (table.version() if table.exists() else None)
        records = table.partitions(version) if version is not None else {}
        return cls(
            history=history,
            columns=history.columns if columns is None else columns,
            table=table,
            version=version,
            records=records,
            windows=HistoryWindows(history, records),
        )

    def made_from(self, partition: Partition) -> list[object]:
        """What the values for a partition are made from, as JSON."""
        past = self.windows.past_of(partition)
        return [history_digest(self.history), sorted(self.columns), [[key, self.records[key].digest] for key in past]]

    def compute(self, connection: duckdb.DuckDBPyConnection, name: str, partitions: Sequence[Partition]) -> None:
        """Make the values for some partitions the table ``name`` of a connection.

        Its columns: ``_key`` (the partition), the owner's key columns, and the wanted columns. Keys with a null have no
        past; neither have those without a row in the window.
        """
        windows = [(one.key, tile) for one in partitions for tile in self.windows.past_of(one)]
        tiles = sorted({tile for _, tile in windows})
        view, pairs = f"{name}__rows", f"{name}__windows"
        self._scan(connection, view, tiles)
        order = {tile: place for place, tile in enumerate(tiles)}
        connection.register(
            pairs,
            pa.table(
                {
                    "_key": pa.array([key for key, _ in windows], pa.string()),
                    "_tile": pa.array([tile for _, tile in windows], pa.string()),
                    "_order": pa.array([order[tile] for _, tile in windows], pa.int64()),
                }
            ),
        )
        tiled = _tiles_sql(self.history, self.columns, view)
        keys = "".join(f", t.{quote_name(one)}" for one in self.history.by)
        items = "".join(f", {item}" for item in _window_items(self.history, self.columns))
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {quote_name(name)} AS SELECT w._key{keys}{items} "  # nosec B608
            f"FROM {quote_name(pairs)} w JOIN ({tiled}) t ON t._tile = w._tile GROUP BY w._key{keys}"
        )

    def _scan(self, connection: duckdb.DuckDBPyConnection, view: str, tiles: Collection[str]) -> None:
        if self.version is not None:
            self.table.scan(connection, view, version=self.version, keys=tiles)
            return
        source = self.history.owner.source
        columns = {ROW: "BIGINT", "partition": "VARCHAR"}
        columns |= {name: DUCKDB_TYPES[kind] for name, kind in source.columns.items()}
        items = ", ".join(f"NULL::{kind} AS {quote_name(name)}" for name, kind in columns.items())
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {quote_name(view)} AS SELECT {items} WHERE false")


class Pasts:
    """All groups of the past that a model's features read.

    :param versions: model → version of its raw table that is read; None: it has none. Of models left out the newest.
    """

    def __init__(
        self,
        settings: Settings,
        definition: Definition,
        versions: Mapping[str, int | None] = MappingProxyType({}),
    ) -> None:
        self._calendar = PartitionCalendar.of(definition)
        self._pasts = [Past.of(settings, history, columns, versions) for history, columns in used_histories(definition)]

    @property
    def versions(self) -> dict[str, int | None]:
        """Model → version of its raw table that is read; None where it has none yet."""
        return {past.history.owner.model: past.version for past in self._pasts}

    @property
    def columns(self) -> dict[str, ColumnType]:
        """The columns that they give."""
        return {name: kind for past in self._pasts for name, kind in past.columns.items()}

    def digest(self) -> str:
        """Digest (32 hex characters) of everything that any values could be made from."""
        tables = [[past.history.owner.model, past.table.digest(past.version)] for past in self._pasts if past.records]
        return inputs_digest(groups=[history_digest(past.history) for past in self._pasts], tables=tables)

    def made_from(self, key: str) -> list[object] | None:
        """What the values for a partition are made from, as JSON; None if the model reads nothing of the past."""
        if not self._pasts:
            return None
        partition = self._calendar.from_key(key)
        return [past.made_from(partition) for past in self._pasts]

    def join(
        self,
        connection: duckdb.DuckDBPyConnection,
        rows: str,
        name: str,
        keys: Iterable[str],
        *,
        partition: str = "partition",
    ) -> None:
        """Make ``name`` a view of all columns of the view ``rows``, and those of the past.

        :param keys: the partitions that rows are of.
        :param partition: the column of ``rows`` that says which.
        """
        partitions = [self._calendar.from_key(key) for key in sorted(set(keys))]
        joins, items = "", ["r.*"]
        for place, past in enumerate(self._pasts):
            table, alias = f"{name}__past{place}", f"p{place}"
            past.compute(connection, table, partitions)
            on = [f"{alias}._key = r.{quote_name(partition)}"]
            pairs = zip(past.history.by, past.history.keys, strict=True)
            on += [f"{alias}.{quote_name(theirs)} = r.{quote_name(mine)}" for theirs, mine in pairs]
            joins += f" LEFT JOIN {quote_name(table)} {alias} ON {' AND '.join(on)}"
            items += [_joined(alias, column, kind) for column, kind in past.columns.items()]
        connection.execute(
            f"CREATE OR REPLACE TEMP VIEW {quote_name(name)} AS "  # nosec B608 # names are quoted
            f"SELECT {', '.join(items)} FROM {quote_name(rows)} r{joins}"
        )


def _joined(alias: str, column: str, kind: ColumnType) -> str:
    """A key without a past has no rows, and nothing else."""
    value = f"{alias}.{quote_name(column)}"
    return f"coalesce({value}, 0) AS {quote_name(column)}" if kind == "integer" else value


def _wanted(history: History, columns: Mapping[str, ColumnType]) -> list[tuple[str, str, str]]:
    """Column, aggregate and expression of each wanted value."""
    named = {f"{history.name}_{value}": one for value, one in history.values.items()}
    return [(column, *named[column]) for column in columns]


def _tiles_sql(history: History, columns: Mapping[str, ColumnType], view: str) -> str:
    """One row for each partition and key, with the parts of each value (``v<n>_…``)."""
    keys = [quote_name(name) for name in history.by]
    time = quote_name(history.owner.source.time_column)
    wanted = _wanted(history, columns)
    inner = [f"{_value(history, aggregate, sql)} AS x{place}" for place, (_, aggregate, sql) in enumerate(wanted)]
    parts: list[str] = []
    for place, (_, aggregate, _) in enumerate(wanted):
        x = f"x{place}"
        parts += {
            "count": [f"count(*) FILTER (WHERE {x}) AS v{place}_n"],
            "mean": [f"count({x}) AS v{place}_n", f"sum({_units(x)}) AS v{place}_s"],
            "sum": [f"count({x}) AS v{place}_n", f"sum({_units(x)}) AS v{place}_s"],
            "last": [f"last({x} ORDER BY _time, {ROW}) FILTER (WHERE {x} IS NOT NULL) AS v{place}_x"],
            "min": [f"min({x}) AS v{place}_x"],
            "max": [f"max({x}) AS v{place}_x"],
        }[aggregate]
    present = "".join(f" AND {key} IS NOT NULL" for key in keys)
    rows = (
        f"SELECT {', '.join([f'partition AS _tile, {ROW}, {time} AS _time', *keys, *inner])} "  # nosec B608 # checked
        f"FROM {quote_name(view)} WHERE true{present}"
    )
    return f"SELECT {', '.join(['_tile', *keys, *parts])} FROM ({rows}) GROUP BY {', '.join(['_tile', *keys])}"  # nosec B608


def _value(history: History, aggregate: str, sql: str) -> str:
    """What is aggregated: a condition for count, else a finite DOUBLE or null, with one zero."""
    if aggregate == "count":
        return "true" if sql == EVERY_ROW else f"coalesce(CAST({cleaned(history.owner, sql).sql} AS BOOLEAN), false)"
    value = f"CAST({cleaned(history.owner, sql).sql} AS DOUBLE)"
    return f"CASE WHEN {value} = 0 THEN 0.0::DOUBLE WHEN abs({value}) <= {_LARGEST!r}::DOUBLE THEN {value} END"


def _units(value: str) -> str:
    return f"CAST(round({value} * {UNITS}) AS HUGEINT)"


def _window_items(history: History, columns: Mapping[str, ColumnType]) -> list[str]:
    """The values of a window from the parts of its tiles."""
    items = []
    for place, (column, aggregate, _) in enumerate(_wanted(history, columns)):
        count, total, one = f"sum(t.v{place}_n)", f"CAST(sum(t.v{place}_s) AS DOUBLE)", f"t.v{place}_x"
        value = {
            "count": f"CAST({count} AS BIGINT)",
            "mean": f"CASE WHEN {count} > 0 THEN {total} / (CAST({count} AS DOUBLE) * {UNITS}) END",
            "sum": f"CASE WHEN {count} > 0 THEN {total} / {UNITS} END",
            "last": f"arg_max({one}, w._order) FILTER (WHERE {one} IS NOT NULL)",
            "min": f"min({one})",
            "max": f"max({one})",
        }[aggregate]
        items.append(f"{value} AS {quote_name(column)}")
    return items
