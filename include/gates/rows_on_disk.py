"""Rows that a gate judges, as they lie in files: read whole, some at a time, or by DuckDB, always in the same order."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.gates.errors import GateBroken

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq


@dataclass(frozen=True, kw_only=True)
class RowsOnDisk:
    """The rows of some Parquet files, one file after the other.

    :param suite: name of the suite that they are judged by, for messages.
    :param subject: what they are, for messages.
    :param added: columns that the files do not have: each one's value in each file.
    :param renamed: by what name the files have a column, and by what name the suite knows it.
    """

    files: tuple[Path, ...]
    suite: str
    subject: str
    added: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def count(self) -> int:
        """How many there are.

        :raises GateBroken: if a file cannot be read: our own file is damaged, which says nothing about the data.
        """
        return sum(file.metadata.num_rows for file in self._opened())

    @cached_property
    def columns(self) -> dict[str, str]:
        """Names, as the suite knows them, and Arrow types."""
        schema = next(self._opened()).schema_arrow
        own = {self.renamed.get(one.name, one.name): str(one.type) for one in schema}
        return own | dict.fromkeys(self.added, "string")

    def _opened(self) -> Iterator[pq.ParquetFile]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        for path in self.files:
            try:
                with pq.ParquetFile(path) as file:
                    yield file
            except (OSError, pa.ArrowInvalid) as error:
                raise self._broken(path, error) from error

    def _broken(self, path: Path, error: Exception) -> GateBroken:
        reason = f"{type(error).__name__}: {error} (run the step that wrote it again)"
        return GateBroken(self.suite, self.subject, f"reading {path}", reason)

    def frame(self, columns: Sequence[str]) -> pd.DataFrame:
        """All rows; columns that are not there are left out.

        :raises GateBroken: if a file cannot be read.
        """
        import pandas as pd
        import pyarrow as pa
        import pyarrow.parquet as pq

        frames = []
        for place, path in enumerate(self.files):
            try:
                with pq.ParquetFile(path) as file:
                    frame = file.read(columns=self._known(file, columns)).to_pandas()
            except (OSError, pa.ArrowInvalid) as error:
                raise self._broken(path, error) from error
            frames.append(self._finished(frame, place, columns))
        whole: pd.DataFrame = frames[0]
        if len(frames) > 1:
            whole = pd.concat([frame for frame in frames if len(frame)] or frames, ignore_index=True)
        return whole

    def _known(self, file: Any, columns: Sequence[str]) -> list[str]:
        """Those of the wanted columns that a file has, by its own names."""
        wanted = set(columns)
        return [name for name in file.schema_arrow.names if self.renamed.get(name, name) in wanted]

    def _finished(self, frame: pd.DataFrame, place: int, columns: Sequence[str]) -> pd.DataFrame:
        """A frame of the file at a place, with the names and columns that the suite knows."""
        added = {name: values[place] for name, values in self.added.items() if name in columns}
        return frame.rename(columns=dict(self.renamed)).assign(**added)

    def batches(self, columns: Sequence[str], rows: int, *, floats: Collection[str] = ()) -> Iterator[pd.DataFrame]:
        """The rows, some at a time.

        :param columns: which; those that are not there are left out.
        :param floats: whole numbers that are to come as floating ones, as they do where a column has nulls.
        """
        import pyarrow as pa

        for place, path in enumerate(self.files):
            for batch in self._read(path, columns, rows):
                frame = self._finished(pa.table(batch).to_pandas(), place, columns)
                yield frame.astype({name: "float64" for name in floats if name in frame.columns})

    def _read(self, path: Path, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(path) as file:
                yield from file.iter_batches(rows, columns=self._known(file, columns))
        except (OSError, pa.ArrowInvalid) as error:
            raise self._broken(path, error) from error

    def sql(self, columns: Sequence[str]) -> str:
        """A table expression with these columns, NaN being null as it is for a frame."""
        from include.lake.connections import quote_name, quote_text

        own = {known: name for name, known in self.renamed.items()}
        selects = []
        for place, path in enumerate(self.files):
            items = []
            for name in columns:
                if name in self.added:
                    items.append(f"{quote_text(self.added[name][place])} AS {quote_name(name)}")
                    continue
                item = quote_name(own.get(name, name))
                if self.columns[name] in ("double", "float"):
                    item = f"CASE WHEN isnan({item}) THEN NULL ELSE {item} END"
                items.append(f"{item} AS {quote_name(name)}")
            selects.append(f"SELECT {', '.join(items)} FROM read_parquet({quote_text(str(path))})")  # nosec B608
        return f"({' UNION ALL '.join(selects)})"
