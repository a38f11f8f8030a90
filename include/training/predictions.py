"""Stages a training's holdout predictions for the predictions table: each training is a partition of it.

Staged again by every run, also by one that reuses a training: publishing leaves alone what is there already.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from include.lake.class_columns import PREDICTED_CLASS, PROBABILITY_PREFIX
from include.lake.columns import DATA_PARTITION, LABEL, PARTITION, PREDICTION, ROW
from include.lake.digests import RowsDigest, code_checksum, file_checksum, inputs_digest
from include.lake.paths import checked_key, from_store, relative_to_store, staging_folder
from include.lake.staging import StagedPartition, new_manifest, write_manifest
from include.lake.store import store_of
from include.settings import Settings

TABLE: Final = "predictions"
PREDICTIONS_FORMAT: Final = 1  # raised when the same training would give other rows
_KEY_DIGITS: Final = 16


def training_key(fingerprint: str) -> str:
    """The training's key in the predictions table: the first 16 hex digits of its fingerprint."""
    return checked_key(fingerprint[:_KEY_DIGITS])


def stage_predictions(
    settings: Settings, model: str, as_of: datetime, training: Mapping[str, Any], *, attempt: str, suite_digest: str
) -> dict[str, Any]:
    """Stage the predictions of a training as one partition, and return the manifest's reference.

    Rows: ``data_partition`` and ``_row`` (which row of the features table), ``label``, ``prediction`` and
    what goes with it of several classes; in the holdout's order.

    :param training: the training's outputs: fingerprint, artifact_digest, training_set, predictions (file).
    :param suite_digest: digest of the predictions suite, so that a new suite has them judged and published again.
    """
    store, predictions = store_of(settings), from_store(settings, str(training["predictions"]))
    store.fetch(predictions, fixed=True)
    rows = _rows(predictions)
    key = training_key(str(training["fingerprint"]))
    path = staging_folder(settings, model, TABLE, attempt) / f"{key}.parquet"
    _write(rows, path)
    store.deliver(path)
    partition = StagedPartition(
        key=key,
        status="staged",
        path=relative_to_store(settings, path),
        rows=rows.num_rows,
        digest=_digest(rows),
        inputs=inputs_digest(
            format=PREDICTIONS_FORMAT,
            artifact=training["artifact_digest"],
            training_set=training["training_set"]["digest"],
            suite=suite_digest,
        ),
        checksum=file_checksum(path),
    )
    manifest = new_manifest(
        model=model, table=TABLE, attempt=attempt, as_of=as_of, partitions=[partition], code=code_checksum()
    )
    return write_manifest(settings, manifest)


def _rows(path: Path) -> pa.Table:
    """The predictions file's rows; its ``partition`` gets another name, as the table's own is the training."""
    with pq.ParquetFile(path) as file:
        rows = file.read()
    first = [PARTITION, ROW, LABEL, PREDICTION]
    by_class = [name for name in rows.column_names if name == PREDICTED_CLASS or name.startswith(PROBABILITY_PREFIX)]
    return rows.select([*first, *by_class]).rename_columns([DATA_PARTITION, *first[1:], *by_class])


def _digest(rows: pa.Table) -> str:
    """Over all columns: here ``_row``, which a digest leaves out, says more than the place in the order."""
    named = rows.rename_columns([name if name != ROW else "row_number" for name in rows.column_names])
    digest = RowsDigest(named.schema)
    for batch in named.to_batches():
        digest.update(batch)
    return digest.hexdigest()


def _write(rows: pa.Table, path: Path) -> None:
    """The file appears whole; one that a table may have adopted by a link is never written into."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    pq.write_table(rows, partial, compression="zstd")
    partial.replace(path)
