"""The training set as of a date: rows and labels that were known then, in one total order, as files with one digest.

It is read from the published features table at a pinned version, and lies in ``training/<model>/<digest>/`` of the
store: ``train.parquet``, ``validation.parquet``, ``holdout.parquet`` (the features table's columns),
``holdout_inputs.parquet`` (raw input columns of the holdout rows, in the same order) and ``training_set.json``. A part
that other machines have written lies there in pieces: ``train-00000.parquet``, ``train-00001.parquet`` …
A folder appears under its name only when it is complete; in a bucket, ``training_set.json`` appears last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from include.errors import NoriaError, TryAgain
from include.lake.connections import open_duckdb, query_batches, quote_name
from include.lake.deliveries import version_as_of
from include.lake.erased import ErasedKeys
from include.lake.paths import from_store, relative_to_store
from include.lake.pieces import piece_name, piece_paths
from include.lake.places import place_sql, split_columns
from include.lake.store import store_of
from include.lake.table import LakeTable, PartitionRecord
from include.lake.workers import LocalWorkers, Workers
from include.settings import Settings
from include.spec.definition import Definition
from include.spec.lengths import PARTS, Shares
from include.spec.memory import duckdb_memory
from include.spec.partitions import PartitionCalendar
from include.spec.share import format_parts
from include.spec.windows import TrainingWindows, needed_partitions, training_windows
from include.training import holdout_inputs
from include.training.part_files import (
    ROWS_AT_ONCE,
    WrittenPart,
    joined,
    read_batches,
    together,
    write_part,
)
from include.training.provenance import find_provenance
from include.training.refusals import check_parts, check_present
from include.training.set_folder import INPUTS_FILE, is_complete, keep, unnamed_folder

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


def assemble_training_set(
    settings: Settings, definition: Definition, as_of: datetime, workers: Workers | None = None
) -> TrainingSet:
    """Build the training set as of an instant, or find it complete.

    :param workers: who writes the parts, in pieces; this process, each part whole, if left out.
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
    with unnamed_folder(settings, definition.model) as partial:
        own = workers or _this_process(definition)
        work = PieceWork(
            settings=settings,
            definition=definition,
            version=version,
            as_of=as_of,
            folder=partial,
            elsewhere=workers is not None,
            threads=own.threads,
            memory=own.memory,
        )
        written = _write_parts(work, features.partitions(version), keys, parts, own)
        check_parts(definition, written, windows)
        inputs = holdout_inputs.write(
            settings, definition, source.raw_version, piece_paths(partial, "holdout"), partial / INPUTS_FILE
        )
        digest = _digest(written, inputs)
        directory = keep(settings, definition.model, digest, partial, written, inputs)
    _refuse_erased(settings, definition, directory)
    return TrainingSet(
        directory=directory,
        digest=digest,
        features_version=version,
        features_digest=features.digest(version, keys),
        raw_version=source.raw_version,
        rows={part: file.rows for part, file in written.items()},
        windows=windows,
        missing=missing,
    )


def _refuse_erased(settings: Settings, definition: Definition, directory: Path) -> None:
    """Look only now: whoever erases a key names it first and then removes the training sets that are there."""
    erased = ErasedKeys.of(settings, definition.model)
    if erased:
        files = [path for part in PARTS for path in piece_paths(directory, part)]
        if any(erased.count(pa.table(batch)) for batch in read_batches(files, erased.columns())):
            store_of(settings).remove_folder(directory)
            raise ErasedRowsRead(definition.model)


def open_directory(settings: Settings, reference: Mapping[str, Any]) -> Path:
    """The folder of a training set that a reference names.

    :raises TrainingSetGone: if it is not there or not complete.
    """
    directory = from_store(settings, str(reference["directory"]))
    store = store_of(settings)
    store.fetch_folder(directory)
    if not is_complete(directory, str(reference["digest"])):
        raise TrainingSetGone(store.shown(directory))
    return directory


@dataclass(frozen=True)
class _Piece:
    """Rows of a part that are written to one file.

    :param groups: keys of partitions; those of a group are sorted at once.
    """

    part: str
    name: str
    groups: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class PieceWork:
    """Writes the labelled rows of a piece, ordered by partition and row; half-open in local event time or in places.

    :param version: of the features table.
    :param folder: where its file goes.
    :param elsewhere: whether it runs elsewhere, so that its file has to be brought into the store.
    :param threads: DuckDB's.
    :param memory: DuckDB's.
    """

    settings: Settings
    definition: Definition
    version: int
    as_of: datetime
    folder: Path
    elsewhere: bool
    threads: int
    memory: str

    def __call__(self, piece: _Piece) -> WrittenPart:
        """See the class."""
        connection = open_duckdb(self.settings, threads=self.threads, memory=self.memory)
        features = LakeTable(self.settings, self.definition.model, "features")
        has_time = self.definition.source.has_time
        parts = training_windows(self.definition, self.as_of) if has_time else Shares.of(self.definition)
        # Partitions that overlap the edges are cut here; a label that is not known is null.
        condition, bounds = _within(self.definition, parts, piece.part)

        def batches() -> Iterator[pa.RecordBatch]:
            for some in piece.groups:
                features.scan(connection, "features", version=self.version, keys=some)
                yield from _labelled(connection, condition, bounds)

        path = self.folder / piece.name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            rows = batches()
            first = next(rows)
            written = write_part(path, first.schema, chain([first], rows))
        finally:
            connection.close()
        if self.elsewhere:
            store_of(self.settings).deliver(path)
        return written


def _this_process(definition: Definition) -> Workers:
    return LocalWorkers(
        count=1, threads=definition.training.resources.cpu, memory=duckdb_memory(definition, "assemble")
    )


def _write_parts(
    work: PieceWork,
    records: Mapping[str, PartitionRecord],
    keys: list[str],
    parts: TrainingWindows | Shares,
    workers: Workers,
) -> dict[str, WrittenPart]:
    """Each part whole or, elsewhere, in pieces. Partitions follow each other in the order of their keys."""
    pieces: list[_Piece] = []
    for part in PARTS:
        groups = [tuple(some) for some in together(_keys_of(work.definition, parts, part, keys), records, ROWS_AT_ONCE)]
        if work.elsewhere and len(groups) > 1:
            pieces += [_Piece(part, piece_name(part, number), (some,)) for number, some in enumerate(groups)]
        else:
            pieces.append(_Piece(part, piece_name(part), tuple(groups)))
    written = list(zip(pieces, workers.map(work, pieces), strict=True))
    if work.elsewhere:
        store_of(work.settings).fetch_folder(work.folder)
    return {part: joined([file for piece, file in written if piece.part == part]) for part in PARTS}


def _labelled(connection: duckdb.DuckDBPyConnection, condition: str, bounds: list[Any]) -> Iterator[pa.RecordBatch]:
    """The view's labelled rows in order; at least one batch, which may be empty."""
    query = (
        f"SELECT * EXCLUDE (_digest, _inputs) FROM features WHERE label IS NOT NULL "  # nosec B608
        f"AND {condition} ORDER BY partition, _row"
    )
    reader = query_batches(connection, query, bounds)
    yield _plain(reader.schema.empty_table())
    for batch in reader:
        yield _plain(pa.table(batch))


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


def _plain(table: pa.Table) -> pa.RecordBatch:
    """The rows with ``partition`` first, texts as plain strings, no metadata."""
    names = ["partition", "_row", *(name for name in table.column_names if name not in ("partition", "_row"))]
    table = table.select(names)
    fields = [pa.field(f.name, pa.string() if _is_text(f.type) else f.type) for f in table.schema.remove_metadata()]
    schema = pa.schema(fields)
    arrays = [column.combine_chunks() for column in table.cast(schema).columns]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_dictionary(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _digest(written: Mapping[str, WrittenPart], inputs: WrittenPart) -> str:
    """Over names, types and values of all rows in order, ``_row`` included."""
    whole = hashlib.sha256()
    for name, file in (*written.items(), ("holdout_inputs", inputs)):
        whole.update(f"{name}\t{file.digest}\n".encode())
    return whole.hexdigest()[:32]
