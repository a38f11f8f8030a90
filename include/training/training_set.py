"""The training set as of a date: rows and labels that were known then, in one total order, as files with one digest.

It is read from the published features table at a pinned version, and lies in ``training/<model>/<digest>/`` of the
store: ``train.parquet``, ``validation.parquet``, ``holdout.parquet`` (the features table's columns),
``holdout_inputs.parquet`` (raw input columns of the holdout rows, in the same order) and ``training_set.json``.
A folder appears under its name only when it is complete; in a bucket, ``training_set.json`` appears last.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from include.errors import NoriaError, TryAgain
from include.lake.connections import open_duckdb, query_table, quote_name
from include.lake.deliveries import version_as_of
from include.lake.digests import RowsDigest
from include.lake.erased import ErasedKeys
from include.lake.paths import checked_model, from_store, relative_to_store
from include.lake.places import place_sql, split_columns
from include.lake.store import store_of
from include.lake.table import LakeTable
from include.settings import Settings
from include.spec.definition import Definition
from include.spec.lengths import PARTS, Shares
from include.spec.partitions import PartitionCalendar
from include.spec.share import format_parts
from include.spec.windows import TrainingWindows, needed_partitions, training_windows
from include.training import holdout_inputs
from include.training.provenance import find_provenance
from include.training.refusals import check_parts, check_present

INPUTS_FILE: Final = "holdout_inputs.parquet"
MARKER: Final = "training_set.json"
_CLOCK_CHANGE: Final = timedelta(hours=3)  # by so much a clock may go back, and two hours have one name


class TrainingSetGone(NoriaError):
    """A reference names a training set that is not there or not complete."""

    def __init__(self, directory: str) -> None:
        super().__init__(f"The training set {directory} is not there or not complete. Run the step assemble again.")
        self.directory = directory


class ErasedRowsRead(TryAgain):
    """Rows were read that were erased meanwhile."""

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(
            f"The training set of {model} holds rows of a key that is being erased; it was removed again. Start the "
            "training anew when the erasure has ended."
        )


@dataclass(frozen=True, kw_only=True)
class TrainingSet:
    """A materialized training set.

    :param directory: its folder.
    :param digest: 32 hex characters, over all rows in order.
    :param features_version: version of the features table that it was read from.
    :param features_digest: digest of the needed partitions in that version.
    :param raw_version: version of the raw table that the holdout inputs were read from.
    :param rows: number of rows of train, validation and holdout.
    :param windows: what each part holds, see :func:`windows_document`.
    :param missing: keys of needed partitions that are not used: not published, or their features are out of date
        (no more than the definition allows).
    """

    directory: Path
    digest: str
    features_version: int
    features_digest: str
    raw_version: int
    rows: Mapping[str, int]
    windows: Mapping[str, Mapping[str, str]]
    missing: tuple[str, ...]

    def reference(self, settings: Settings) -> dict[str, Any]:
        """The small document that travels between steps."""
        return {
            "directory": relative_to_store(settings, self.directory),
            "digest": self.digest,
            "features_version": self.features_version,
            "features_digest": self.features_digest,
            "raw_version": self.raw_version,
            "rows": dict(self.rows),
            "windows": {part: dict(window) for part, window in self.windows.items()},
            "missing": list(self.missing),
        }


def windows_document(definition: Definition, parts: TrainingWindows | Shares) -> dict[str, dict[str, str]]:
    """What each part holds: part → start and end of event time, as ISO 8601 texts with offset.

    Of data without time: start and end of its places in percent, and ``by``, the columns that give a row its place.
    """
    if isinstance(parts, TrainingWindows):
        windows = {part: getattr(parts, part) for part in PARTS}
        return {part: {"start": w.start.isoformat(), "end": w.end.isoformat()} for part, w in windows.items()}
    by, places = ", ".join(split_columns(definition)), {part: getattr(parts, part) for part in PARTS}
    return {part: {"start": format_parts(p.start), "end": format_parts(p.end), "by": by} for part, p in places.items()}


def assemble_training_set(settings: Settings, definition: Definition, as_of: datetime) -> TrainingSet:
    """Build the training set as of an instant, or find it complete.

    :raises TooManyMissing: if more partitions of the windows are missing than the definition allows.
    :raises PartTooSmall: if a part has too few labelled rows.
    :raises OneClassOnly: if a part's labels are all the same class (binary classification).
    :raises NotDeliveredYet: if data without time had not been delivered by then.
    """
    has_time = definition.source.has_time
    parts = training_windows(definition, as_of) if has_time else Shares.of(definition)
    features = LakeTable(settings, definition.model, "features")
    needed = [partition.key for partition in needed_partitions(definition, as_of)]
    version = None
    if features.exists():
        version = features.version() if has_time else version_as_of(features, as_of)
    published = features.partitions(version)
    absent = [key for key in needed if key not in published]
    check_present(definition, needed, absent, [])
    version = features.version() if version is None else version
    source = find_provenance(settings, definition, features, version, [key for key in needed if key in published])
    check_present(definition, needed, absent, source.stale)
    missing = tuple(key for key in needed if key not in published or key in source.stale)
    keys = [key for key in needed if key not in missing]
    windows = windows_document(definition, parts)
    tables = _read_parts(settings, definition, features, version, keys, parts)
    check_parts(definition, tables, windows)
    inputs = holdout_inputs.read(settings, definition, source.raw_version, tables["holdout"])
    digest = _digest(tables, inputs)
    directory = _write(settings, definition.model, digest, tables, inputs)
    _refuse_erased(settings, definition, directory, tables)
    return TrainingSet(
        directory=directory,
        digest=digest,
        features_version=version,
        features_digest=features.digest(version, keys),
        raw_version=source.raw_version,
        rows={part: table.num_rows for part, table in tables.items()},
        windows=windows,
        missing=missing,
    )


def _refuse_erased(settings: Settings, definition: Definition, directory: Path, tables: Mapping[str, pa.Table]) -> None:
    """Look only now: whoever erases a key names it first and then removes the training sets that are there."""
    erased = ErasedKeys.of(settings, definition.model)
    if erased:
        names = erased.columns()
        if any(erased.count(table.select(names)) for table in tables.values()):
            store_of(settings).remove_folder(directory)
            raise ErasedRowsRead(definition.model)


def open_directory(settings: Settings, reference: Mapping[str, Any]) -> Path:
    """The folder of a training set that a reference names.

    :raises TrainingSetGone: if it is not there or not complete.
    """
    directory = from_store(settings, str(reference["directory"]))
    store = store_of(settings)
    store.fetch_folder(directory)
    if not _is_complete(directory, str(reference["digest"])):
        raise TrainingSetGone(store.shown(directory))
    return directory


def _read_parts(
    settings: Settings,
    definition: Definition,
    features: LakeTable,
    version: int,
    keys: list[str],
    parts: TrainingWindows | Shares,
) -> dict[str, pa.Table]:
    """Labelled rows of each part, ordered by partition and row; half-open in local event time or in places."""
    resources = definition.training.resources
    connection = open_duckdb(settings, threads=resources.cpu, memory=resources.memory)
    try:
        tables = {}
        for part in PARTS:
            features.scan(connection, "features", version=version, keys=_keys_of(definition, parts, part, keys))
            # Partitions that overlap the edges are cut here; a label that is not known is null.
            condition, bounds = _within(definition, parts, part)
            query = (
                f"SELECT * EXCLUDE (_digest, _inputs) FROM features WHERE label IS NOT NULL "  # nosec B608
                f"AND {condition} ORDER BY partition, _row"
            )
            tables[part] = _plain(query_table(connection, query, bounds))
        return tables
    finally:
        connection.close()


def _keys_of(definition: Definition, parts: TrainingWindows | Shares, part: str, keys: list[str]) -> list[str]:
    """Those of the partitions that may hold rows of a part: of data without time all."""
    if isinstance(parts, Shares):
        return keys
    window = getattr(parts, part)
    covering = PartitionCalendar.of(definition).covering(window.start - _CLOCK_CHANGE, window.end + _CLOCK_CHANGE)
    inside = {partition.key for partition in covering}
    return [key for key in keys if key in inside]


def _within(definition: Definition, parts: TrainingWindows | Shares, part: str) -> tuple[str, list[Any]]:
    """The SQL condition for a part's rows, and its parameters."""
    inside = getattr(parts, part)
    if isinstance(parts, Shares):
        place = place_sql(definition)
        return f"{place} >= ? AND {place} < ?", [inside.start, inside.end]
    calendar = PartitionCalendar.of(definition)
    event_time = quote_name(str(definition.source.event_time))
    return f"{event_time} >= ? AND {event_time} < ?", [calendar.local(inside.start), calendar.local(inside.end)]


def _plain(table: pa.Table) -> pa.Table:
    """The table with ``partition`` first, texts as plain strings, no metadata."""
    names = ["partition", "_row", *(name for name in table.column_names if name not in ("partition", "_row"))]
    table = table.select(names)
    fields = [pa.field(f.name, pa.string() if _is_text(f.type) else f.type) for f in table.schema.remove_metadata()]
    return table.cast(pa.schema(fields)).combine_chunks()


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_dictionary(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _digest(tables: Mapping[str, pa.Table], inputs: pa.Table) -> str:
    """Over names, types and values of all rows in order, ``_row`` included."""
    whole = hashlib.sha256()
    for name, table in (*tables.items(), ("holdout_inputs", inputs)):
        numbered = table
        if "_row" in table.column_names:
            numbered = table.rename_columns([n if n != "_row" else "row_number" for n in table.column_names])
        rows = RowsDigest(numbered.schema)
        for batch in numbered.to_batches():
            rows.update(batch)
        whole.update(f"{name}\t{rows.hexdigest()}\n".encode())
    return whole.hexdigest()[:32]


def _is_complete(directory: Path, digest: str) -> bool:
    try:
        marker = json.loads((directory / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    sizes = {path.name: path.stat().st_size for path in directory.glob("*.parquet")}
    wanted = marker.get("files")
    return marker.get("digest") == digest and all(sizes.get(name) == size for name, size in wanted.items())


def _write(settings: Settings, model: str, digest: str, tables: Mapping[str, pa.Table], inputs: pa.Table) -> Path:
    """Write the files beside their final folder, then give the folder its name in one rename."""
    directory = settings.store / "training" / checked_model(model) / digest
    store = store_of(settings)
    store.fetch_folder(directory)
    if _is_complete(directory, digest):
        return directory
    partial = directory.with_name(f".{digest}.{uuid.uuid4().hex[:8]}")
    partial.mkdir(parents=True)
    files = {f"{part}.parquet": table for part, table in tables.items()} | {INPUTS_FILE: inputs}
    for name, table in files.items():
        pq.write_table(table, partial / name, compression="zstd")
    sizes = {name: (partial / name).stat().st_size for name in files}
    rows = {part: table.num_rows for part, table in tables.items()}
    (partial / MARKER).write_text(json.dumps({"digest": digest, "rows": rows, "files": sizes}, indent=1))
    _take_place(partial, directory, digest)
    store.deliver(*(directory / name for name in files))
    store.deliver(directory / MARKER)
    return directory


def _take_place(partial: Path, directory: Path, digest: str) -> None:
    """Rename the finished folder; if another run was faster, its rows are the same."""
    try:
        partial.rename(directory)
    except OSError:
        if not _is_complete(directory, digest):
            broken = directory.with_name(f".{digest}.broken-{uuid.uuid4().hex[:8]}")
            directory.rename(broken)
            partial.rename(directory)
            shutil.rmtree(broken, ignore_errors=True)
        shutil.rmtree(partial, ignore_errors=True)
