"""A part of a training set that stays on disk: it gives a column, chosen rows or a batch as a frame would.

So what profiles, categories and metrics need of a large part is one column at a time, which costs some bytes a row; all
columns together are in memory only for the rows of one batch. Texts come as categories: their codes are four bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, overload

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from include.spec.columns import feature_types
from include.spec.definition import Definition
from include.spec.memory import memory_of

BATCH_ROWS: Final = 262_144
#: What training in memory takes for each value of a feature: the frame, the matrix, XGBoost's own form of it, and what
#: profiles sort. Measured on flights, and rounded up.
_BYTES_A_VALUE: Final = 64
_SHARE: Final = 0.5

Mask = npt.NDArray[np.bool_]


def stays_on_disk(definition: Definition, rows: Mapping[str, int]) -> bool:
    """Whether the parts of a training set are too large to be read whole, by what the step ``train`` may use.

    :param rows: by part.
    """
    needed = sum(rows.values()) * len(feature_types(definition)) * _BYTES_A_VALUE
    return needed > _SHARE * memory_of(definition, "train")


class PartOnDisk:
    """The rows of a Parquet file, in their order.

    :param scratch: folder for what is computed of them and does not fit into memory.
    :param whole_numbers: whether whole numbers stay such where they are null (as Python's own).
    :param kept: which of the file's rows; all if left out.
    """

    def __init__(self, path: Path, scratch: Path, *, whole_numbers: bool = False, kept: Mask | None = None) -> None:
        self.path = path
        self.scratch = scratch
        self._whole_numbers = whole_numbers
        self._kept = kept
        with pq.ParquetFile(path) as file:
            self._rows = int(file.metadata.num_rows)
            self._schema = file.schema_arrow

    def __len__(self) -> int:
        return self._rows if self._kept is None else int(np.count_nonzero(self._kept))

    def __contains__(self, name: object) -> bool:
        return name in self._schema.names

    @property
    def columns(self) -> list[str]:
        """Its columns' names."""
        return list(self._schema.names)

    @property
    def empty(self) -> bool:
        """Whether it has no row."""
        return len(self) == 0

    @overload
    def __getitem__(self, key: str) -> pd.Series: ...
    @overload
    def __getitem__(self, key: list[str]) -> pd.DataFrame: ...
    @overload
    def __getitem__(self, key: Mask) -> PartOnDisk: ...
    def __getitem__(self, key: str | list[str] | Mask) -> pd.Series | pd.DataFrame | PartOnDisk:
        """A column, a frame of some columns, or the rows of a mask over its rows."""
        if isinstance(key, str):
            return self._frame([key])[key]
        if isinstance(key, list):
            return self._frame(key)
        kept = np.zeros(self._rows, dtype=bool)
        kept[self._numbers(np.flatnonzero(key))] = True
        return PartOnDisk(self.path, self.scratch, whole_numbers=self._whole_numbers, kept=kept)

    def get(self, name: str) -> pd.Series | None:
        """A column, if it is there."""
        return self[name] if name in self._schema.names else None

    def reset_index(self, *, drop: bool) -> PartOnDisk:  # noqa: ARG002 - as a frame has it
        """Itself: its rows are always numbered from 0."""
        return self

    @property
    def iloc(self) -> _Places:
        """Rows by their numbers, ascending: ``part.iloc[numbers]`` is a frame with all columns."""
        return _Places(self)

    def rows_at(self, places: npt.NDArray[Any]) -> pa.Table:
        """The rows with these numbers, which must ascend."""
        numbers, first, found = self._numbers(np.asarray(places)), 0, []
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(BATCH_ROWS):
                start, end = np.searchsorted(numbers, (first, first + batch.num_rows))
                if end > start:
                    found.append(batch.take(pa.array(numbers[start:end] - first)))
                first += batch.num_rows
        return pa.Table.from_batches(found, schema=self._schema)

    def batches(self) -> Iterator[pd.DataFrame]:
        """All columns of its rows, some rows at a time; texts are texts."""
        first = 0
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(BATCH_ROWS):
                own = None if self._kept is None else self._kept[first : first + batch.num_rows]
                first += batch.num_rows
                rows = pa.table(batch if own is None else batch.filter(pa.array(own)))
                if rows.num_rows:
                    yield self.to_pandas(rows)

    def frame(self) -> pd.DataFrame:
        """All of it in memory."""
        return pd.concat(list(self.batches()), ignore_index=True)

    def to_pandas(self, table: pa.Table) -> pd.DataFrame:
        """Rows of it as a frame."""
        frame: pd.DataFrame = table.to_pandas(integer_object_nulls=self._whole_numbers)
        return frame

    def _numbers(self, places: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Numbers of rows in the file."""
        return places if self._kept is None else np.flatnonzero(self._kept)[places]

    def _frame(self, names: list[str]) -> pd.DataFrame:
        texts = [name for name in names if pa.types.is_string(self._schema.field(name).type)]
        with pq.ParquetFile(self.path, read_dictionary=texts) as file:
            table = file.read(columns=names).unify_dictionaries()
        frame = self.to_pandas(table)[names]
        return frame if self._kept is None else frame[self._kept].reset_index(drop=True)


class _Places:
    def __init__(self, part: PartOnDisk) -> None:
        self._part = part

    def __getitem__(self, places: npt.NDArray[Any]) -> pd.DataFrame:
        return self._part.to_pandas(self._part.rows_at(places))


def in_batches(
    rows: pd.DataFrame | PartOnDisk, answer: Callable[[pd.DataFrame], npt.NDArray[np.float64]]
) -> npt.NDArray[np.float64]:
    """A model's answers for rows, wherever they are.

    :param answer: gives them for the rows of a frame.
    """
    if isinstance(rows, pd.DataFrame):
        return answer(rows)
    return np.concatenate([answer(frame) for frame in rows.batches()])


def some_rows(rows: pd.DataFrame | PartOnDisk, most: int) -> pd.DataFrame:
    """All rows of a frame; of a part on disk so many at most, spread evenly."""
    if isinstance(rows, pd.DataFrame):
        return rows
    return rows.iloc[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(np.int64))]


def open_rows(path: Path, scratch: Path | None, *, whole_numbers: bool = False) -> pd.DataFrame | PartOnDisk:
    """A file's rows: as a frame, or on disk if there is a folder for what they need there."""
    if scratch is not None:
        return PartOnDisk(path, scratch, whole_numbers=whole_numbers)
    frame: pd.DataFrame = pq.read_table(path).to_pandas(integer_object_nulls=whole_numbers)
    return frame
