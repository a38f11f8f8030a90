"""Publishing: under the table's lock, one atomic commit that replaces the accepted partitions with the staged files."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Schema
from deltalake.exceptions import CommitFailedError
from deltalake.transaction import AddAction, RemoveAction, create_table_with_add_actions

from include.errors import Refused, TryAgain
from include.lake.columns import DIGEST, INPUTS, PARTITION, PARTITION_COLUMNS
from include.lake.digests import file_checksum
from include.lake.erased import ErasedKeys, ErasedRowsStaged
from include.lake.locks import HeldLock, advisory_lock
from include.lake.paths import from_store
from include.lake.staging import StagedManifest, StagedPartition, combined_digest, new_manifest
from include.lake.table import LakeTable, PartitionRecord, published_partitions
from include.settings import Settings

# History is never thrown away: it is what time travel and audits read.
_CONFIGURATION: Final = {
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
}
_PUBLISHABLE: Final = ("passed", "partly")


class NotGated(Refused):
    """What should be published was not judged by a gate, or was refused by it."""

    def __init__(self, table: LakeTable, verdict: object) -> None:
        super().__init__(
            f"Nothing is published to the {table.label}: the gate's verdict is {verdict!r}, not "
            f"{' or '.join(_PUBLISHABLE)}. Run the gate on what is staged, and publish its output."
        )


class StagedFileChanged(Refused):
    """A staged file is gone or not the one that the gate judged."""

    def __init__(self, table: LakeTable, partition: StagedPartition) -> None:
        self.key = partition.key
        super().__init__(
            f"Partition {partition.key} is not published to the {table.label}: its staged file {partition.path} is "
            "gone or was changed after the gate judged it. Run the step that staged it again."
        )


class TableChanged(TryAgain):
    """Another writer committed in between."""

    def __init__(self, table: LakeTable, cause: str) -> None:
        super().__init__(
            f"The {table.label} was changed by another writer ({cause}); nothing was published by this one."
        )


@dataclass(frozen=True, kw_only=True)
class Published:
    """What publishing did.

    :param version: the table's version that holds the accepted partitions.
    :param digest: digest of the whole version.
    :param changed: keys whose partition was written; empty if all were there already.
    :param rows: rows of the accepted partitions.
    :param dropped: keys of partitions with other columns (made by another definition) that left this version.
    """

    version: int
    digest: str
    changed: tuple[str, ...]
    rows: int
    dropped: tuple[str, ...] = ()


def publish(table: LakeTable, staged: StagedManifest, *, attempt: str, gate: Mapping[str, Any]) -> Published:
    """Bring the accepted partitions into the table: all of them or none, however often it is called.

    Partitions that are there with equal digest and inputs are left alone. If the staged columns differ from the
    table's, the definition was changed: partitions of the old kind leave the new version (they stay in older ones).

    :param attempt: the publishing attempt, for the commit's metadata.
    :param gate: the gate's output (at least ``verdict``).
    :raises NotGated: if the gate's verdict does not allow it.
    :raises StagedFileChanged: if a staged file is not the one that the gate judged.
    :raises TableChanged: if another writer came in between.
    :raises ErasedRowsStaged: if a staged file holds rows of a key that was erased since it was staged.
    """
    if gate.get("verdict") not in _PUBLISHABLE:
        raise NotGated(table, gate.get("verdict"))
    accepted = staged.accepted
    with advisory_lock(table.settings.database_url, "lake", table.model, table.name) as lock:
        before = table.partitions()
        changes = [p for p in accepted if p.status == "staged" and not _is_published(p, before)]
        _check_unchanged(table, accepted, before)
        _refuse_erased(table, changes)
        dropped = _commit(table, staged, changes, before, lock, attempt, gate) if changes else ()
        if not table.exists():
            raise NotGated(table, "nothing accepted")
        opened = table.open()
        after = published_partitions(opened)
    _remove_staged(table, accepted)
    return Published(
        version=opened.version(),
        digest=combined_digest((record.key, record.digest) for record in after.values()),
        changed=tuple(partition.key for partition in changes),
        rows=sum(partition.rows for partition in accepted),
        dropped=dropped,
    )


def rewrite(
    table: LakeTable,
    make: Callable[[Mapping[str, PartitionRecord], Mapping[str, Path]], Sequence[StagedPartition]],
    *,
    attempt: str,
    reason: str,
) -> int:
    """Replace published partitions by what ``make`` stages of them, in one commit under the table's lock.

    For what is no new data and passes no gate, such as the erasure of single rows. Columns stay what they are.

    :param make: is given the published partitions and their files, by key; runs under the lock.
    :param reason: takes the place of the gate's verdict in the commit's metadata.
    :returns: the table's newest version.
    :raises TableChanged: if another writer came in between.
    """
    with advisory_lock(table.settings.database_url, "lake", table.model, table.name) as lock:
        before = table.partitions()
        files = table.files()
        table.store.fetch(*files.values(), fixed=True)
        changes = list(make(before, files))
        if changes:
            # Data without time is known since the run that delivered it, whatever was taken out of it since.
            newest = next(entry["noria"]["as_of"] for entry in table.history() if "noria" in entry)
            staged = new_manifest(
                model=table.model,
                table=table.name,
                attempt=attempt,
                as_of=datetime.fromisoformat(newest),
                partitions=changes,
            )
            _commit(table, staged, changes, before, lock, attempt, {"verdict": reason})
    _remove_staged(table, changes)
    return table.version()


def drop_partitions(table: LakeTable, keys: Collection[str], *, attempt: str, verdict: str = "aged") -> list[str]:
    """Take partitions out of a table, and remove their files of all versions; the log of commits stays.

    :param verdict: why, for the commit.
    :returns: keys of the partitions that left the newest version, or of which only older files were removed.
    :raises TableChanged: if another writer came in between.
    """
    with advisory_lock(table.settings.database_url, "lake", table.model, table.name) as lock:
        before = table.partitions()
        gone = sorted(set(keys) & set(before))
        if gone:
            delta = table.load()
            newest = next(entry["noria"] for entry in table.history() if "noria" in entry)
            left = ((key, record.digest) for key, record in before.items() if key not in gone)
            said = {"digest": combined_digest(left), "partitions": {}, "dropped": gone, "attempt": attempt}
            lock.check()
            try:
                with table.named_faults("committing to"):
                    delta.create_write_transaction(
                        [],
                        "overwrite",
                        delta.schema(),
                        list(PARTITION_COLUMNS),
                        partition_filters=[(PARTITION, "in", gone)],
                        commit_properties=CommitProperties(
                            custom_metadata={"noria": {**newest, **said, "verdict": verdict}}, max_commit_retries=0
                        ),
                    )
            except CommitFailedError as error:
                raise TableChanged(table, str(error)) from error
        names = {key.replace("+", "_") for key in keys}
        files = [path for path in table.store.find(table.folder, "*.parquet") if path.parent == table.folder]
        table.store.remove(*(path for path in files if path.name.rsplit("-", 1)[0] in names))
        return sorted(keys)


def _refuse_erased(table: LakeTable, changes: Sequence[StagedPartition]) -> None:
    """Whoever staged rows before their key was erased must not bring them back."""
    erased = ErasedKeys.of(table.settings, table.model)
    if not erased:
        return
    held = []
    for partition in changes:
        path = from_store(table.settings, partition.path or "")
        table.store.fetch(path)
        if path.is_file():
            with pq.ParquetFile(path) as file:
                names = [name for name in erased.columns() if name in file.schema_arrow.names]
                if erased.count(file.read(columns=names)):
                    held.append(partition.key)
    if held:
        raise ErasedRowsStaged(table.label, held)


def _is_published(partition: StagedPartition, published: Mapping[str, PartitionRecord]) -> bool:
    record = published.get(partition.key)
    return record is not None and (record.digest, record.inputs) == (partition.digest, partition.inputs)


def _check_unchanged(
    table: LakeTable, accepted: Iterable[StagedPartition], published: Mapping[str, PartitionRecord]
) -> None:
    for partition in accepted:
        if partition.status == "unchanged" and partition.key not in published:
            raise TableChanged(table, f"partition {partition.key}, which was published, is no longer there")


def _commit(
    table: LakeTable,
    staged: StagedManifest,
    changes: list[StagedPartition],
    before: Mapping[str, PartitionRecord],
    lock: HeldLock,
    attempt: str,
    gate: Mapping[str, Any],
) -> tuple[str, ...]:
    _verify_files(table, changes)
    schema = _table_schema(table.settings, changes)
    delta = _open_or_create(table, schema)
    changed_keys = {partition.key for partition in changes}
    same_columns = pa.schema(delta.schema().to_arrow()).equals(schema)
    dropped = () if same_columns else tuple(key for key in before if key not in changed_keys)
    after = {key: record.digest for key, record in before.items() if key not in dropped}
    after |= {partition.key: partition.digest or "" for partition in changes}
    actions: list[AddAction | RemoveAction] = [_adopt(table, partition) for partition in changes]
    table.store.deliver(*(table.folder / action.path for action in actions))
    lock.check()
    try:
        with table.named_faults("committing to"):
            delta.create_write_transaction(
                actions,
                "overwrite",
                Schema.from_arrow(schema),
                list(PARTITION_COLUMNS),
                partition_filters=[(PARTITION, "in", sorted(changed_keys))] if same_columns else None,
                commit_properties=CommitProperties(
                    custom_metadata={"noria": _metadata(staged, changes, after, dropped, attempt, gate)},
                    max_commit_retries=0,
                ),
            )
    except CommitFailedError as error:
        raise TableChanged(table, str(error)) from error
    return dropped


def _metadata(
    staged: StagedManifest,
    changes: Collection[StagedPartition],
    after: Mapping[str, str],
    dropped: tuple[str, ...],
    attempt: str,
    gate: Mapping[str, Any],
) -> dict[str, Any]:
    return {
        "digest": combined_digest(after.items()),
        "partitions": {partition.key: partition.digest for partition in changes},
        "dropped": list(dropped),
        "origins": sorted({origin for partition in changes for origin in partition.origins}),
        "as_of": staged.as_of,
        "attempt": attempt,
        "staged_by": staged.attempt,
        "code": staged.code,
        "verdict": gate.get("verdict"),
        "page": gate.get("page"),
    }


def _verify_files(table: LakeTable, changes: Iterable[StagedPartition]) -> None:
    files = [(p, from_store(table.settings, p.path) if p.path else None) for p in changes]
    table.store.fetch(*(path for _, path in files if path is not None))
    for partition, path in files:
        if path is None or not path.is_file() or file_checksum(path) != partition.checksum:
            raise StagedFileChanged(table, partition)


def _table_schema(settings: Settings, changes: list[StagedPartition]) -> pa.Schema:
    data = pq.read_schema(from_store(settings, changes[0].path or ""))
    return pa.schema([*data, *(pa.field(name, pa.string()) for name in PARTITION_COLUMNS)]).remove_metadata()


def _open_or_create(table: LakeTable, schema: pa.Schema) -> DeltaTable:
    table.folder.mkdir(parents=True, exist_ok=True)
    if not table.exists():
        with table.named_faults("creating"):
            create_table_with_add_actions(
                table.address.uri,
                Schema.from_arrow(schema),
                [],
                mode="error",
                partition_by=list(PARTITION_COLUMNS),
                name=f"{table.model}.{table.name}",
                configuration=_CONFIGURATION,
                storage_options=table.address.options,
            )
    return table.load()


def _adopt(table: LakeTable, partition: StagedPartition) -> AddAction:
    """Put a staged file into the table's folder, under a new name that needs no encoding; not visible before commit."""
    source = from_store(table.settings, partition.path or "")
    name = f"{partition.key.replace('+', '_')}-{uuid.uuid4().hex}.parquet"
    target = table.folder / name
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    state = target.stat()
    return AddAction(
        path=name,
        size=state.st_size,
        partition_values={PARTITION: partition.key, DIGEST: partition.digest, INPUTS: partition.inputs},
        modification_time=int(state.st_mtime * 1000),
        data_change=True,
        stats=json.dumps({"numRecords": partition.rows}),
    )


def _remove_staged(table: LakeTable, accepted: Iterable[StagedPartition]) -> None:
    """The lake has the rows now; only the manifests of the attempt stay for a while."""
    staged = [p.path for p in accepted if p.status == "staged" and p.path]
    table.store.remove(*(from_store(table.settings, path) for path in staged))
