"""The rows that everything is judged on: read once, proven to be the rows that the challenger predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from include.errors import NoriaError, Refused
from include.evaluation.grouping import Floats
from include.lake.class_columns import PROBABILITY_PREFIX
from include.lake.columns import PREDICTION
from include.lake.pieces import piece_paths
from include.settings import Settings
from include.spec.definition import Definition
from include.spec.objective import objective_columns
from include.training import holdout_inputs
from include.training.part_on_disk import PartOnDisk, open_rows
from include.training.set_folder import INPUTS_FILE


class TrainingSetIncomplete(NoriaError):
    """A file of the training set or the predictions is missing or is not what the references promise."""

    def __init__(self, path: Path, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path} {problem}. Run the steps assemble and train again for this as-of.")


class NothingHeldOut(Refused):
    """The holdout part has no row, so nothing can be evaluated."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"The holdout part {path} has no row: publish data for the holdout window, or make it longer.")


@dataclass(frozen=True)
class Holdout:
    """The holdout rows with the challenger's predictions, in the training set's order.

    :param directory: the training set's folder.
    :param frame: holdout.parquet: keys, event time, slices, ``feature_…`` columns, label.
    :param labels: shape (rows,).
    :param predictions: the challenger's, shape (rows,); of several classes (rows, classes).
    :param inputs: raw input columns of the same rows in the same order.
    :param train: train.parquet, for the baselines.
    :param others: further columns of the source, same rows and order: those that only the objective reads.
    """

    directory: Path
    frame: pd.DataFrame | PartOnDisk
    labels: Floats
    predictions: Floats
    inputs: pd.DataFrame | PartOnDisk
    train: pd.DataFrame | PartOnDisk
    others: pd.DataFrame = field(default_factory=pd.DataFrame)

    @cached_property
    def partitions(self) -> NDArray[np.str_]:
        """Each row's partition key, shape (rows,)."""
        return self.frame["partition"].to_numpy(dtype=np.str_)

    def event_times(self, column: str) -> NDArray[np.datetime64]:
        """Local event times, shape (rows,)."""
        return self.frame[column].to_numpy(dtype="datetime64[us]")


def read_holdout(store: Path, training: Mapping[str, Any], scratch: Path | None = None) -> Holdout:
    """Read the files that a train output refers to.

    :param store: root of the store.
    :param training: output of the step train.
    :param scratch: a folder, if the files are too large to be read whole.
    :raises TrainingSetIncomplete: if a file is missing, or rows and predictions do not belong together.
    :raises NothingHeldOut: if there is no holdout row.
    """
    directory = store / training["training_set"]["directory"]
    frame = _open(piece_paths(directory, "holdout"), scratch)
    if frame.empty:
        raise NothingHeldOut(directory / "holdout.parquet")
    inputs = _open([directory / INPUTS_FILE], scratch, whole_numbers=True)
    if len(inputs) != len(frame):
        problem = f"has {len(inputs)} rows, but the holdout part has {len(frame)}"
        raise TrainingSetIncomplete(directory / INPUTS_FILE, problem)
    predicted = _aligned(frame, store / training["predictions"])
    return Holdout(
        directory=directory,
        frame=frame,
        labels=frame["label"].to_numpy(dtype=np.float64, na_value=np.nan),
        predictions=predicted[_answer(predicted)].to_numpy(dtype=np.float64, na_value=np.nan),
        inputs=inputs,
        train=_open(piece_paths(directory, "train"), scratch),
    )


def with_objective_columns(
    settings: Settings, definition: Definition, holdout: Holdout, training: Mapping[str, Any]
) -> Holdout:
    """The holdout with the source's columns that the definition's objective reads and that are not there yet.

    They come from the version of the raw table that the training set was made from.

    :param training: output of the step train.
    :raises RawDoesNotMatch: if the raw table does not hold these rows.
    """
    there = {*holdout.frame.columns, *holdout.inputs.columns}
    missing = sorted(objective_columns(definition) - there)
    if not missing:
        return holdout
    rows = pa.concat_tables(pq.read_table(path) for path in piece_paths(holdout.directory, "holdout"))
    read = holdout_inputs.read(settings, definition, training["training_set"]["raw_version"], rows, missing)
    return replace(holdout, others=read.to_pandas(integer_object_nulls=True))


def _answer(predicted: pd.DataFrame) -> str | list[str]:
    """The column of the predictions, or of several classes those of their probabilities, in the classes' order."""
    return [name for name in predicted.columns if str(name).startswith(PROBABILITY_PREFIX)] or PREDICTION


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except FileNotFoundError as error:
        raise TrainingSetIncomplete(path, "is missing") from error


def _open(paths: Sequence[Path], scratch: Path | None, *, whole_numbers: bool = False) -> pd.DataFrame | PartOnDisk:
    try:
        return open_rows(paths, scratch, whole_numbers=whole_numbers)
    except FileNotFoundError as error:
        raise TrainingSetIncomplete(paths[0], "is missing") from error


def _aligned(frame: pd.DataFrame | PartOnDisk, path: Path) -> pd.DataFrame:
    """The predictions in the holdout's order; every row must have exactly one, with the same label."""
    keys = ["partition", "_row"]
    predicted = _read(path)
    if _in_order(frame, predicted):
        return predicted
    twice = int(predicted.duplicated(keys).sum())
    if twice or len(predicted) != len(frame):
        raise TrainingSetIncomplete(path, f"has {len(predicted)} rows ({twice} twice) for {len(frame)} holdout rows")
    wanted = frame[[*keys, "label"]].assign(partition=frame["partition"].astype(str))
    predicted = predicted.assign(partition=predicted["partition"].astype(str))
    joined = wanted.merge(predicted, on=keys, how="left", suffixes=("", "_predicted"), validate="one_to_one")
    unknown = int(joined["prediction"].isna().sum())
    if unknown:
        raise TrainingSetIncomplete(path, f"has no prediction for {unknown} of {len(frame)} holdout rows")
    if not joined["label"].equals(joined["label_predicted"].astype(joined["label"].dtype)):
        raise TrainingSetIncomplete(path, "has other labels than the holdout part")
    return joined


def _in_order(frame: pd.DataFrame | PartOnDisk, predicted: pd.DataFrame) -> bool:
    """Whether the predictions are those of the rows one by one, which needs no join: as training writes them."""
    if len(predicted) != len(frame) or predicted["prediction"].isna().any():
        return False
    if not np.array_equal(frame["_row"].to_numpy(), predicted["_row"].to_numpy()):
        return False
    if not np.array_equal(frame["label"].to_numpy(dtype=np.float64), predicted["label"].to_numpy(dtype=np.float64)):
        return False
    keys = (pd.Categorical(one["partition"].astype(str)) for one in (frame, predicted))
    first, second = keys
    same = np.array_equal(first.categories, second.categories) and np.array_equal(first.codes, second.codes)
    # In order of partition and row without a gap in between: no row is there twice.
    steps = np.diff(first.codes.astype(np.int64))
    rows = np.diff(predicted["_row"].to_numpy())
    return bool(same and ((steps > 0) | ((steps == 0) & (rows > 0))).all())
