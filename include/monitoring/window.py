"""The window that is checked: the newest published partitions, counted over the bins of a training profile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pandas as pd

from include.lake.connections import open_duckdb, quote_name
from include.lake.table import LakeTable
from include.settings import Settings
from include.spec.partitions import WHOLE_KEY, Partition, PartitionCalendar, WholeCalendar
from include.training.packaged_model import PREFIX
from include.training.profile import count_like, merge


@dataclass(frozen=True)
class CountedWindow:
    """Counts of a window's rows.

    :param rows: number of rows.
    :param features: by feature: counts over the reference's bins.
    :param version: version of the features table that was read.
    :param digest: digest of the partitions that were read.
    :param absent: features of the profile that the table does not have.
    """

    rows: int
    features: dict[str, Any]
    version: int
    digest: str
    absent: tuple[str, ...]


def newest_partitions(
    calendar: PartitionCalendar, published: Iterable[str], as_of: datetime, length: timedelta
) -> list[Partition]:
    """Published partitions of the newest stretch of data: the last one that ended by ``as_of``, and those before it
    that start within ``length`` of its end. Oldest first; empty if nothing had been published by then. Of data without
    time it is the whole.
    """
    if isinstance(calendar, WholeCalendar):
        return [calendar.last_complete(as_of)] if WHOLE_KEY in published else []
    ended = sorted(one for one in map(calendar.from_key, published) if one.end <= as_of)
    if not ended:
        return []
    newest = ended[-1].end
    # On the local clock, so that seven days are seven days over a change of the clock.
    first = calendar.local(newest) - length
    return [one for one in ended if calendar.local(one.start) >= first or one is ended[-1]]


def count_window(
    settings: Settings,
    model: str,
    partitions: Sequence[Partition],
    reference: Mapping[str, Any],
    *,
    version: int | None = None,
) -> CountedWindow:
    """Count the features of published partitions over the bins of a profile, one partition in memory at a time.

    :param reference: by feature: column profile of the training part.
    :param version: of the features table; None: the newest.
    """
    table = LakeTable(settings, model, "features")
    version = table.version() if version is None else version
    keys = [one.key for one in partitions]
    there = set(table.open(version).schema().to_arrow().names)
    wanted = [name for name in reference if PREFIX + name in there]
    counted = {name: count_like(reference[name], []) for name in wanted}
    rows = 0
    if not wanted:
        return CountedWindow(0, {}, version, table.digest(version, keys), tuple(reference))
    with open_duckdb(settings) as connection:
        table.scan(connection, "features", version=version, keys=keys)
        for key in keys:
            values = _values(connection, key, wanted)
            rows += len(values)
            for name in wanted:
                counted[name] = merge(counted[name], count_like(reference[name], values[PREFIX + name]))
    absent = tuple(name for name in reference if name not in counted)
    return CountedWindow(rows, counted, version, table.digest(version, keys), absent)


def _values(connection: duckdb.DuckDBPyConnection, key: str, features: Sequence[str]) -> pd.DataFrame:
    """The features in one partition, a column ``feature_<name>`` each."""
    columns = ", ".join(quote_name(PREFIX + name) for name in features)
    query = f"SELECT {columns} FROM features WHERE partition = ?"  # noqa: S608 - names are quoted
    return connection.execute(query, [key]).df()
