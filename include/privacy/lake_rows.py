"""Rows of a key in a model's lake: raw, features and scores, in the newest version and in all older ones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from include.features.history import Pasts
from include.features.staging import features_inputs
from include.gates.suite import load_suite
from include.lake.raw_rows import raw_inputs
from include.lake.rewriting import NewInputs, count_rows, holding_files, take_out
from include.lake.table import LakeTable, PartitionRecord
from include.privacy.held import Held
from include.privacy.key import EntityKey
from include.settings import Settings

TABLES: Final = ("scores", "features", "raw")
"""In the order in which rows are taken out: what they were made from goes last."""


@dataclass(frozen=True)
class RawRows:
    """All that the raw table ever held of a key: what is needed to find it where the key itself is not kept.

    :param rows: with the columns of the source; of several columns' sets the columns that they share.
    """

    rows: pa.Table

    @classmethod
    def of(cls, settings: Settings, key: EntityKey) -> RawRows:
        """Read them from all versions."""
        table = LakeTable(settings, key.definition.model, "raw")
        names = list(key.definition.source.columns)
        parts = []
        for path in sorted(holding_files(table, key.columns, key.wanted)) if table.exists() else ():
            with pq.ParquetFile(path) as file:
                rows = file.read(columns=[name for name in names if name in file.schema_arrow.names])
            parts.append(rows.filter(key.wanted(rows)).replace_schema_metadata())
        if not parts:
            return cls(pa.table({name: pa.array([], value.type) for name, value in key.values.items()}))
        return cls(pa.concat_tables(parts, promote_options="default"))

    def entities(self, key: EntityKey) -> list[dict[str, object]]:
        """The whole entities, values as JSON says them; without the raw table the key itself, if it is whole."""
        names = list(key.definition.source.entity)
        found = [] if self.rows.num_rows == 0 else self.rows.select(names).to_pylist()
        entities = [{name: v.isoformat() if isinstance(v, datetime) else v for name, v in row.items()} for row in found]
        return [*entities, *([key.plain] if key.is_whole else [])]

    def times(self, key: EntityKey) -> list[datetime]:
        """The event times, on the source's clock; none of data without time."""
        name = key.definition.source.event_time
        return [] if name is None or not self.rows.num_rows else self.rows[name].to_pylist()


def find(settings: Settings, key: EntityKey, name: str) -> Held:
    """What a table holds of a key."""
    table = LakeTable(settings, key.definition.model, name)
    if not table.exists():
        return Held(place=name)
    current = table.files()
    table.store.fetch(*current.values(), fixed=True)
    rows = {one: count_rows(path, key.columns, key.wanted) for one, path in current.items()}
    where = {one: count for one, count in sorted(rows.items()) if count}
    old = set(holding_files(table, key.columns, key.wanted)) - set(current.values())
    return Held(place=name, rows=sum(where.values()), where=where, files=len(old))


def erase(settings: Settings, key: EntityKey, name: str, attempt: str) -> Held:
    """Take the key's rows out of a table."""
    table = LakeTable(settings, key.definition.model, name)
    made_from = _inputs_of(settings, key, name)
    taken = take_out(table, key.columns, key.wanted, attempt=attempt, reason="erased", inputs=made_from)
    digests = {one: (before, taken.after[one]) for one, before in taken.before.items()}
    return Held(place=name, rows=sum(taken.rows.values()), where=taken.rows, files=taken.files, digests=digests)


def _inputs_of(settings: Settings, key: EntityKey, name: str) -> NewInputs:
    """What a partition is made from once rows of it are erased.

    Where that is known from rows, it follows them, so that what was up to date stays so; else it stays: the same file
    was read. Features that read the past are computed again by the next data run.
    """
    definition = key.definition
    if name == "raw":
        suite = load_suite(settings, definition.model, "raw").digest

        def raw(record: PartitionRecord, digest: str) -> str:
            of_rows = record.inputs == raw_inputs(definition, record.digest, suite)
            return raw_inputs(definition, digest, suite) if of_rows else record.inputs

        return raw
    if name == "features":
        return _features_inputs_of(settings, key)
    return lambda record, _: record.inputs


def _features_inputs_of(settings: Settings, key: EntityKey) -> NewInputs:
    """Features are rewritten before raw rows: their new digest is that of what the raw partition will be."""
    definition = key.definition
    suite = load_suite(settings, definition.model, "features").digest
    table = LakeTable(settings, definition.model, "raw")
    published, files = table.partitions(), table.files() if table.exists() else {}
    pasts = Pasts(settings, definition, {definition.model: table.version()}) if files else None

    def made_from(record: PartitionRecord, _: str) -> str:
        raw = published.get(record.key)
        if raw is None or pasts is None:
            return record.inputs
        past = pasts.made_from(record.key)
        if record.inputs != features_inputs(settings, definition, raw.digest, suite, past):
            return record.inputs
        return features_inputs(settings, definition, _digest_without(files[record.key], key), suite, past)

    return made_from


def _digest_without(path: object, key: EntityKey) -> str:
    import pyarrow.compute as pc

    from include.lake.digests import RowsDigest

    with pq.ParquetFile(path) as file:
        rows = file.read()
    kept = rows.filter(pc.invert(key.wanted(rows))).combine_chunks()
    digest = RowsDigest(kept.schema.remove_metadata())
    for batch in kept.to_batches():
        digest.update(batch)
    return digest.hexdigest()
