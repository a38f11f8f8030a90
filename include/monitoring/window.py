"""The window that is checked, the windows of the same season before it, and the counts of their partitions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from include.lake.columns import FEATURE_PREFIX
from include.lake.connections import open_duckdb, quote_name, quote_text
from include.lake.table import LakeTable
from include.monitoring.counting import Counts, count_rows
from include.monitoring.kept_counts import KeptCounts
from include.settings import Settings
from include.spec.partitions import WHOLE_KEY, Partition, PartitionCalendar, WholeCalendar

#: DuckDB spills beyond it; counts need a small part of it, however many rows there are.
_MEMORY: Final = "512MiB"


@dataclass(frozen=True)
class CountedPartitions:
    """Counts of published partitions, each by itself.

    :param by_key: counts by partition; one without rows is not there.
    :param features: the reference's features that the table has.
    :param version: version of the features table that was read.
    :param digest: digest of the partitions that were read.
    :param absent: features of the reference that the table does not have.
    :param new: features of the table that the reference does not have.
    """

    by_key: dict[str, Counts]
    features: dict[str, Mapping[str, Any]]
    version: int
    digest: str
    absent: tuple[str, ...]
    new: tuple[str, ...]


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


def describe_window(partitions: Sequence[Partition]) -> dict[str, Any]:
    """JSON of a window: keys of its first and last partition, its start and end; all None if it has none."""
    if not partitions:
        return {"first": None, "last": None, "start": None, "end": None}
    first, last = partitions[0], partitions[-1]
    return {"first": first.key, "last": last.key, "start": first.start.isoformat(), "end": last.end.isoformat()}


def earlier_seasons(
    calendar: PartitionCalendar, published: Iterable[str], window: Sequence[Partition], every: timedelta, count: int
) -> list[list[Partition]]:
    """The windows that lie one, two, … seasons before a window and are published as it is, the newest first.

    :param window: partitions of a source with time, not empty.
    :param every: the season's length; on the local clock, so that a week is a week over a change of the clock.
    """
    known = set(published)
    start, end = calendar.local(window[0].start), calendar.local(window[-1].end)
    found = []
    for number in range(1, count + 1):
        first, last = (calendar.instant(edge - number * every) for edge in (start, end))
        covered = calendar.covering(first, last)
        if all(partition.key in known for partition in covered):
            found.append(covered)
    return found


def count_partitions(
    settings: Settings, model: str, keys: Sequence[str], reference: Mapping[str, Any], *, version: int | None = None
) -> CountedPartitions:
    """Count the features of published partitions over the bins of a profile, in one scan; what is known is not read.

    :param reference: by feature: column profile of the training part.
    :param version: of the features table; None: the newest.
    """
    table = LakeTable(settings, model, "features")
    version = table.version() if version is None else version
    held = [name for name in table.open(version).schema().to_arrow().names if name.startswith(FEATURE_PREFIX)]
    there = {name.removeprefix(FEATURE_PREFIX) for name in held}
    wanted = {name: profile for name, profile in reference.items() if name in there}
    chosen = set(keys)
    digests = {key: record.digest for key, record in table.partitions(version).items() if key in chosen}
    kept = KeptCounts(settings, model, wanted)
    known = kept.read(digests)
    counted = known | _count(table, version, [key for key in digests if key not in known], wanted)
    if len(counted) > len(known):
        kept.write(digests, counted)
    return CountedPartitions(
        by_key=counted,
        features=wanted,
        version=version,
        digest=table.digest(version, keys),
        absent=tuple(name for name in reference if name not in there),
        new=tuple(sorted(there - set(reference))),
    )


def _count(table: LakeTable, version: int, keys: Sequence[str], wanted: Mapping[str, Any]) -> dict[str, Counts]:
    files = {key: path for key, path in table.files(version).items() if key in set(keys)}
    if not files:
        return {}
    table.store.fetch(*files.values(), fixed=True)
    listed = ", ".join(quote_text(str(path)) for path in files.values())
    relation = f"read_parquet([{listed}], filename = true, hive_partitioning = false)"
    columns = {name: quote_name(FEATURE_PREFIX + name) for name in wanted}
    with open_duckdb(table.settings, memory=_MEMORY, readable=[table.folder]) as connection:
        counted = count_rows(connection, relation, "filename", columns, wanted)
    return {key: counted[str(path)] for key, path in files.items() if str(path) in counted}
