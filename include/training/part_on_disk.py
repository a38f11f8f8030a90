"""A part of a training set that stays on disk: it gives a column, chosen rows or a batch as a frame would.

So what profiles, categories and metrics need of a large part is one column at a time, which costs some bytes a row; all
columns together are in memory only for the rows of one batch. Texts come as categories: their codes are four bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, Final, overload

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from include.lake.pieces import piece_paths
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


def shared(rows: int, number: int, of: int) -> slice:
    """Which of some rows one of several machines has, counted from 0."""
    return slice(rows * number // of, rows * (number + 1) // of)


class PartOnDisk:
    """The rows of Parquet files, in their order, one file after the other.

    :param scratch: folder for what is computed of them and does not fit into memory.
    :param whole_numbers: whether whole numbers stay such where they are null (as Python's own).
    :param kept: which of the files' rows; all if left out.
    """

    def __init__(
        self, paths: Sequence[Path], scratch: Path, *, whole_numbers: bool = False, kept: Mask | None = None
    ) -> None:
        self.paths = tuple(paths)
        self.scratch = scratch
        self._whole_numbers = whole_numbers
        self._kept = kept
        self._counts = [int(pq.read_metadata(path).num_rows) for path in paths]
        self._rows = sum(self._counts)
        self._schema = pq.read_schema(paths[0])

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
        return PartOnDisk(self.paths, self.scratch, whole_numbers=self._whole_numbers, kept=kept)

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
        for batch in self._batches():
            start, end = np.searchsorted(numbers, (first, first + batch.num_rows))
            if end > start:
                found.append(batch.take(pa.array(numbers[start:end] - first)))
            first += batch.num_rows
        return pa.Table.from_batches(found, schema=self._schema)

    def batches(self) -> Iterator[pd.DataFrame]:
        """All columns of its rows, some rows at a time; texts are texts."""
        first = 0
        for batch in self._batches():
            own = None if self._kept is None else self._kept[first : first + batch.num_rows]
            first += batch.num_rows
            rows = pa.table(batch if own is None else batch.filter(pa.array(own)))
            if rows.num_rows:
                yield self.to_pandas(rows)

    def share(self, number: int, of: int) -> PartOnDisk:
        """Those of its rows that one of several machines has, counted from 0; it reads no file without any of them."""
        mine = np.zeros(self._rows, dtype=bool)
        mine[self._numbers(np.arange(len(self))[shared(len(self), number, of)])] = True
        ends = np.cumsum(self._counts)
        masks = dict(zip(self.paths, np.split(mine, ends[:-1]), strict=True))
        chosen = [place for place, path in enumerate(self.paths) if masks[path].any()] or [0]
        part = copy(self)  # reads nothing: on another machine the files may not be there yet
        part.paths = tuple(self.paths[place] for place in chosen)
        part._counts = [self._counts[place] for place in chosen]
        part._rows = sum(part._counts)
        part._kept = np.concatenate([masks[path] for path in part.paths])
        return part

    def frame(self) -> pd.DataFrame:
        """All of it in memory."""
        return pd.concat(list(self.batches()), ignore_index=True)

    def to_pandas(self, table: pa.Table) -> pd.DataFrame:
        """Rows of it as a frame."""
        frame: pd.DataFrame = table.to_pandas(integer_object_nulls=self._whole_numbers)
        return frame

    def _batches(self) -> Iterator[pa.RecordBatch]:
        for path in self.paths:
            with pq.ParquetFile(path) as file:
                yield from file.iter_batches(BATCH_ROWS)

    def _numbers(self, places: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Numbers of rows in the files."""
        return places if self._kept is None else np.flatnonzero(self._kept)[places]

    def _frame(self, names: list[str]) -> pd.DataFrame:
        texts = [name for name in names if pa.types.is_string(self._schema.field(name).type)]
        tables = [pq.read_table(path, columns=names, read_dictionary=texts, partitioning=None) for path in self.paths]
        table = pa.concat_tables(tables).unify_dictionaries()
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
    return rows.iloc[spread(len(rows), most)]


def spread(count: int, most: int) -> npt.NDArray[np.int64]:
    """The numbers of some of so many rows: all, or so many at most, spread evenly."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def open_rows(paths: Sequence[Path], scratch: Path | None, *, whole_numbers: bool = False) -> pd.DataFrame | PartOnDisk:
    """The rows of files: as a frame, or on disk if there is a folder for what they need there."""
    if scratch is not None:
        return PartOnDisk(paths, scratch, whole_numbers=whole_numbers)
    return _read(paths, whole_numbers=whole_numbers)


def read_part(directory: Path, part: str) -> pd.DataFrame:
    """A part of a training set as a frame.

    :param directory: the training set's folder.
    """
    return _read(piece_paths(directory, part))


def _read(paths: Sequence[Path], *, whole_numbers: bool = False) -> pd.DataFrame:
    table = pa.concat_tables(pq.read_table(path, partitioning=None) for path in paths)
    frame: pd.DataFrame = table.to_pandas(integer_object_nulls=whole_numbers)
    return frame
