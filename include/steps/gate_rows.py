"""Where the rows lie that the step gate judges, and how DuckDB is opened for what needs all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from include.steps.protocol import StepCall

if TYPE_CHECKING:
    import duckdb

    from include.gates.large import Connect
    from include.gates.rows_on_disk import RowsOnDisk
    from include.gates.suite import Suite
    from include.lake.staging import StagedManifest, StagedPartition


def rows_file(call: StepCall, manifest: StagedManifest, partition: StagedPartition) -> Path:
    """The staged file, or, if the gate runs once more after publishing, the file in the table with these rows."""
    from include.lake.paths import from_store
    from include.lake.store import store_of
    from include.lake.table import LakeTable

    staged = from_store(call.settings, partition.path or "")
    store_of(call.settings).fetch(staged, fixed=True)
    if staged.is_file():
        return staged
    return LakeTable(call.settings, manifest.model, manifest.table).published_file(partition) or staged


def connecting(call: StepCall) -> Connect:
    """How DuckDB is opened for what needs all rows at once."""
    from include.lake.connections import open_duckdb
    from include.spec.memory import duckdb_memory

    def connect(folders: Sequence[Path]) -> duckdb.DuckDBPyConnection:
        memory = duckdb_memory(call.definition, "gate")
        return open_duckdb(call.settings, memory=memory, readable=sorted(set(folders)))

    return connect


def whole_rows(
    call: StepCall, suite: Suite, subject: str, manifest: StagedManifest | None
) -> tuple[list[str], RowsOnDisk]:
    """The columns that identify a row, and the rows."""
    from include.gates.frames import predictions_rows, training_rows
    from include.lake.paths import from_store
    from include.lake.store import store_of

    if manifest is None:
        directory = from_store(call.settings, str(call.inputs["training_set"]["directory"]))
        store_of(call.settings).fetch_folder(directory)
        entity = list(call.definition.source.entity)
        return entity, training_rows(directory, suite, subject)
    path = rows_file(call, manifest, manifest.partitions[0])
    return ["partition", "_row"], predictions_rows(path, suite, subject)
