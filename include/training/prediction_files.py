"""The files of a training's predictions beside its training set: they appear there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from include.lake.class_columns import answer_columns
from include.lake.store import store_of
from include.settings import Settings
from include.training.calibration import Sigmoid
from include.training.part_on_disk import PartOnDisk

Predictions = npt.NDArray[np.float64]


def write_predictions(
    settings: Settings,
    target: Path,
    rows: pd.DataFrame | PartOnDisk,
    predictions: Predictions,
    classes: Sequence[str] = (),
) -> None:
    """Write keys, label and predictions of rows.

    :param rows: rows of a part of the training set.
    :param predictions: shape (rows,), or (rows, classes).
    """
    table = pa.table(
        {
            "partition": pa.array(rows["partition"].astype(str), pa.string()),
            "_row": pa.array(rows["_row"], pa.int64()),
            "label": pa.array(rows["label"], pa.float64()),
            **answer_columns(predictions, classes),
        }
    )
    with tempfile.TemporaryDirectory(prefix="noria-predictions-") as folder:
        written = Path(folder) / target.name
        pq.write_table(table, written, compression="zstd")
        put_file(settings, target, written)


def put_file(settings: Settings, target: Path, source: Path) -> None:
    """Copy a file to its place in the store."""
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    partial.write_bytes(source.read_bytes())
    partial.replace(target)
    store_of(settings).deliver(target)


def answered_before_refit(judged: Predictions, sigmoid: Sigmoid | None) -> Predictions:
    """What the model says of its validation part before it is trained on that, too: calibrated as it will be.

    :param judged: probabilities before calibration, shape (rows,).
    """
    if sigmoid is None:
        return judged
    inside = np.clip(judged, 1e-15, 1 - 1e-15)
    score = np.log(inside) - np.log1p(-inside)
    calibrated: Predictions = 1 / (1 + np.exp(-(sigmoid.slope * score + sigmoid.intercept)))
    return calibrated
