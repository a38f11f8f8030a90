"""Stages the features of published raw partitions: row for row the same rows, in the same order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from include.features.errors import FeatureFailed, FeatureModuleFailed
from include.features.failures import explain_failure
from include.features.history import Pasts
from include.features.select import feature_column, features_columns, features_sql, label_sql
from include.lake.columns import ROW, arrow_schema
from include.lake.connections import open_duckdb, query_batches, query_table, quote_name, quote_text
from include.lake.digests import file_checksum, inputs_digest
from include.lake.staging import StagedPartition
from include.lake.table import LakeTable, PartitionRecord
from include.lake.workers import LocalWorkers, Workers
from include.lake.writer import GROUP, StagingWriter, WrittenPartition
from include.settings import Settings
from include.spec.cleaned import cleaned
from include.spec.columns import feature_types
from include.spec.definition import Definition
from include.spec.memory import duckdb_memory

FEATURES_FORMAT: Final = 1  # raised when the same raw rows would give other feature rows
_PARTITIONS_AT_ONCE: Final = 64
_SMALL_PARTITIONS_AT_ONCE: Final = 512
_SMALL_ROWS: Final = 100_000  # together
_MOST_AT_ONCE: Final = 8
_MOST_ROWS: Final = 1_000_000  # sorted at once, if they are of more than one partition
_VIEW: Final = "raw_rows"
_PUBLISHED: Final = "published_rows"


def features_inputs(
    settings: Settings, definition: Definition, raw_digest: str, suite_digest: str, past: list[object] | None = None
) -> str:
    """Digest (32 hex characters) of what a features partition is made from.

    :param raw_digest: digest of the raw partition's rows.
    :param suite_digest: digest of the features suite, so that a new suite has everything judged again.
    :param past: what its values of the past are made from, if features read any.
    """
    module = definition.feature_module
    return inputs_digest(
        format=FEATURES_FORMAT,
        raw=raw_digest,
        features={n: [cleaned(definition, f.expression).sql, f.type] for n, f in definition.features.items()},
        columns=list(features_columns(definition).items()),
        label=label_sql(definition),
        module=None if module is None else [file_checksum(_module_path(settings, definition)), module.inputs],
        suite=suite_digest,
        **({} if past is None else {"past": past}),
    )


class FeaturesStage:
    """Stages features partitions of one model for one attempt."""

    def __init__(self, settings: Settings, definition: Definition, attempt: str, suite_digest: str) -> None:
        self.settings = settings
        self.definition = definition
        self._attempt = attempt
        self._suite_digest = suite_digest

    def stage(
        self,
        keys: Sequence[str],
        raw: LakeTable,
        published: Mapping[str, PartitionRecord],
        *,
        force: bool = False,
        workers: Workers | None = None,
    ) -> list[StagedPartition]:
        """Stage the features of these raw partitions, and of those whose published features are out of date.

        :param keys: raw partition keys; one that is not published is ``missing``.
        :param published: the features table's partitions; one made from the same inputs is ``unchanged``.
        :param force: stage ``keys`` all the same.
        :param workers: who computes; threads of this process if left out.
        :raises FeatureFailed: if an expression cannot work on any data (wrong types, no such column).
        """
        version = raw.version()
        records = raw.partitions(version)
        pasts = Pasts(self.settings, self.definition, {self.definition.model: version})
        inputs = {key: self._inputs(record, pasts) for key, record in records.items()}
        stale = [key for key, old in published.items() if key in inputs and old.inputs != inputs[key]]
        staged: list[StagedPartition] = []
        work: list[str] = []
        for key in sorted({*keys, *stale}):
            old = published.get(key)
            if key not in inputs:
                problem = f"Partition {key} is not in the raw table; run {self.definition.model}.data for it."
                staged.append(StagedPartition(key=key, status="missing", problem=problem))
            elif not force and old is not None and old.inputs == inputs[key]:
                staged.append(_unchanged(old))
            else:
                work.append(key)
        batches = [{key: inputs[key] for key in batch} for batch in _batches(work, records)]
        workers = workers or self._threads(len(batches))
        batch_work = BatchWork(
            settings=self.settings,
            definition=self.definition,
            attempt=self._attempt,
            versions={self.definition.model: version, **pasts.versions},
            threads=workers.threads,
            memory=workers.memory,
        )
        return staged + [one for batch in workers.map(batch_work, batches) for one in batch]

    def _threads(self, batches: int) -> LocalWorkers:
        """As many as processors: while one is written, the next is computed. A team's module need not bear threads."""
        cpu = self.definition.training.resources.cpu
        count = 1 if self.definition.feature_module is not None else max(1, min(cpu, batches, _MOST_AT_ONCE))
        memory = int(duckdb_memory(self.definition, "prepare").removesuffix("MiB")) // count
        return LocalWorkers(count=count, threads=max(1, cpu // count), memory=f"{memory}MiB")

    def _inputs(self, record: PartitionRecord, pasts: Pasts) -> str:
        past = pasts.made_from(record.key)
        return features_inputs(self.settings, self.definition, record.digest, self._suite_digest, past)


@dataclass(frozen=True, kw_only=True)
class BatchWork:
    """Stages the features of some partitions together: called with the digest of what each is made from, by its key.

    :param versions: model → version of its raw table that is read; None where it has none yet.
    :param threads: DuckDB's.
    :param memory: DuckDB's, such as ``512MiB``.
    """

    settings: Settings
    definition: Definition
    attempt: str
    versions: Mapping[str, int | None]
    threads: int
    memory: str

    def __call__(self, inputs: Mapping[str, str]) -> list[StagedPartition]:
        """The staged partitions; one that is refused says why, and is never the reason that another one is."""
        return _Batch(self).stage(list(inputs), inputs)


class _Batch:
    def __init__(self, work: BatchWork) -> None:
        self.settings, self.definition = work.settings, work.definition
        self._work = work
        self._raw = LakeTable(work.settings, work.definition.model, "raw")
        self._schema = arrow_schema(features_columns(work.definition))
        self._writer = StagingWriter(work.settings, work.definition.model, "features", work.attempt, self._schema)
        self._version = work.versions[work.definition.model]
        self._pasts = Pasts(work.settings, work.definition, work.versions)

    def stage(self, keys: Sequence[str], inputs: Mapping[str, str]) -> list[StagedPartition]:
        connection = open_duckdb(self.settings, threads=self._work.threads, memory=self._work.memory)
        try:
            if self._pasts.columns:
                self._raw.scan(connection, _PUBLISHED, version=self._version, keys=keys)
                self._pasts.join(connection, _PUBLISHED, _VIEW, keys)
            else:
                self._raw.scan(connection, _VIEW, version=self._version, keys=keys)
            written = self._write(connection, keys)
            return [_staged(key, inputs[key], written[key]) for key in keys]
        except duckdb.BinderException as error:
            raise explain_failure(connection, self.definition, _VIEW, error) from error
        except (duckdb.DataError, duckdb.InvalidInputException, FeatureModuleFailed) as error:
            if len(keys) == 1:
                problem = self._explain(connection, error)
                return [StagedPartition(key=keys[0], status="refused", inputs=inputs[keys[0]], problem=problem)]
        finally:
            connection.close()
        return [staged for key in keys for staged in self.stage([key], inputs)]

    def _explain(self, connection: duckdb.DuckDBPyConnection, error: Exception) -> str:
        if isinstance(error, duckdb.Error):
            return str(explain_failure(connection, self.definition, _VIEW, error))
        return str(error)

    def _write(self, connection: duckdb.DuckDBPyConnection, keys: Sequence[str]) -> dict[str, WrittenPartition]:
        if self.definition.feature_module is not None:
            return self._writer.write(self._module_rows(connection, keys), keys)
        # Not by a join: of two Arrow tables DuckDB knows no size, and may keep all rows to look up the keys in them.
        group = f"list_position([{', '.join(map(quote_text, keys))}], partition) - 1"
        chosen = f"SELECT *, {group} AS {GROUP} FROM {_VIEW}"  # nosec B608
        connection.execute(f"CREATE OR REPLACE TEMP VIEW grouped_rows AS {chosen}")
        query = features_sql(self.definition, "grouped_rows", extra=f"{GROUP}, {ROW}, ")
        rows = query_batches(connection, f"SELECT * FROM ({query}) ORDER BY {GROUP}, {ROW}")  # nosec B608
        return self._writer.write(rows, keys)

    def _module_rows(self, connection: duckdb.DuckDBPyConnection, keys: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Rows with the module's features, one partition in memory at a time."""
        from include.features.module import load_compute, run_compute

        spec = self.definition.feature_module
        if spec is None:
            raise FeatureFailed(self.definition.model, "module", "the definition has none.")
        path = _module_path(self.settings, self.definition)
        compute = load_compute(path)
        inputs = ", ".join(quote_name(name) for name in spec.inputs)
        query = features_sql(self.definition, _VIEW, extra=f"{ROW}, ")
        for group, key in enumerate(keys):
            where = f"WHERE partition = ? ORDER BY {ROW}"
            kept = query_table(connection, f"{query} {where}", [key])
            raw = query_table(connection, f"SELECT {inputs} FROM {_VIEW} {where}", [key])  # nosec B608
            computed = run_compute(compute, path, spec, raw.to_pandas())
            columns: dict[str, Any] = {name: kept[name] for name in kept.column_names}
            for name in feature_types(self.definition):
                kind = self._schema.field(feature_column(name)).type
                columns[feature_column(name)] = pa.array(computed[name], kind, from_pandas=True)
            columns[GROUP] = pa.array([group] * kept.num_rows, pa.int32())
            order = [GROUP, *self._schema.names]
            table = pa.table({name: columns[name] for name in order})
            yield from table.combine_chunks().to_batches()


def _batches(keys: Sequence[str], records: Mapping[str, PartitionRecord]) -> Iterator[list[str]]:
    """Partitions that are computed together: many if they are small, since each batch reads the pasts of its own."""
    batch: list[str] = []
    rows = 0
    for key in keys:
        own = records[key].rows
        small = len(batch) < _SMALL_PARTITIONS_AT_ONCE and rows + own <= _SMALL_ROWS
        if batch and ((len(batch) >= _PARTITIONS_AT_ONCE and not small) or rows + own > _MOST_ROWS):
            yield batch
            batch, rows = [], 0
        batch.append(key)
        rows += own
    if batch:
        yield batch


def _module_path(settings: Settings, definition: Definition) -> Path:
    if definition.feature_module is None:
        raise FeatureFailed(definition.model, "module", "the definition has none.")
    return settings.models / definition.feature_module.path


def _staged(key: str, inputs: str, written: WrittenPartition) -> StagedPartition:
    return StagedPartition(
        key=key,
        status="staged",
        path=written.path,
        rows=written.rows,
        digest=written.digest,
        inputs=inputs,
        checksum=written.checksum,
    )


def _unchanged(record: PartitionRecord) -> StagedPartition:
    return StagedPartition(
        key=record.key, status="unchanged", rows=record.rows, digest=record.digest, inputs=record.inputs
    )
