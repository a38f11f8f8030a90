"""Reads what a gate judges: only the columns that the suite names and the entity, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from include.gates.errors import GateBroken
from include.gates.suite import Suite

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

PARTS: Final = ("train", "validation", "holdout")


def read_table(path: Path, suite: Suite, subject: str, extra: Sequence[str] = ()) -> pa.Table:
    """Read a Parquet file's columns that the suite names or ``extra`` names; one that is not there is left out.

    :raises GateBroken: if the file cannot be read: our own file is damaged, which says nothing about the data.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            wanted = dict.fromkeys([*suite.columns, *extra])
            return file.read(columns=[name for name in file.schema_arrow.names if name in wanted])
    except (OSError, pa.ArrowInvalid) as error:
        reason = f"{type(error).__name__}: {error} (run the step that wrote it again)"
        raise GateBroken(suite.name, subject, f"reading {path}", reason) from error


def read_frame(path: Path, suite: Suite, subject: str, extra: Sequence[str] = ()) -> pd.DataFrame:
    """The same as a frame.

    :raises GateBroken: if the file cannot be read.
    """
    frame: pd.DataFrame = read_table(path, suite, subject, extra).to_pandas()
    return frame


def read_predictions(path: Path, suite: Suite, subject: str) -> pd.DataFrame:
    """Read staged predictions; suites know the partition that a row comes from as ``partition``.

    :raises GateBroken: if the file cannot be read.
    """
    from include.lake.columns import DATA_PARTITION, PARTITION, ROW

    return read_frame(path, suite, subject, [DATA_PARTITION, ROW]).rename(columns={DATA_PARTITION: PARTITION})


def read_training_set(directory: Path, suite: Suite, extra: Sequence[str] = ()) -> pd.DataFrame:
    """Read a training set's three parts as one frame with the column ``part``.

    :raises GateBroken: if a file cannot be read.
    """
    import pandas as pd

    frames = []
    for part in PARTS:
        frame = read_frame(directory / f"{part}.parquet", suite, "the training set", extra)
        frames.append(frame.assign(part=part))
    return pd.concat([frame for frame in frames if len(frame)] or frames, ignore_index=True)
