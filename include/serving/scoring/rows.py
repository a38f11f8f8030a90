"""A version's answers for a file of typed rows: batch by batch in, one staged Parquet file of scores out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from include.lake.class_columns import answer_columns, padded
from include.lake.columns import ROW
from include.lake.score_columns import AS_OF, DATA_SOURCE, MODEL_VERSION, TABLE, kept_columns, scores_schema
from include.lake.score_sources import Part
from include.lake.writer import GROUP, StagingWriter, WrittenPartition
from include.settings import Settings
from include.spec.definition import Definition

BATCH_ROWS: Final = 50_000
_MACHINE: Final = (MemoryError, OSError, duckdb.OutOfMemoryException, duckdb.IOException)


class PartNotScored(Exception):
    """The version has no usable answer for a part; the text says what is wrong, where, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """One version, ready to score parts.

    :param packaged: the artifact's own ``TabularModel``.
    :param version: its number.
    :param as_of: the run's instant, which goes into the rows.
    :param attempt: names the folder of the staged files.
    """

    settings: Settings
    definition: Definition
    packaged: Any
    version: int
    as_of: datetime
    attempt: str

    @property
    def inputs(self) -> dict[str, Any]:
        """The columns that the version reads, with their types."""
        return dict(self.packaged.columns)

    def score(self, part: Part, rows: Path) -> WrittenPartition:
        """Stage the scores of a part's rows, in their order.

        :param rows: Parquet file of typed rows.
        :raises PartNotScored: if the version fails on a row, or gives an answer that is none.
        """
        schema = scores_schema(self.definition)
        writer = StagingWriter(self.settings, self.definition.model, TABLE, self.attempt, schema)
        return writer.write(self._batches(part, rows), [part.key])[part.key]

    def _batches(self, part: Part, rows: Path) -> Iterator[pa.RecordBatch]:
        kept = list(kept_columns(self.definition))
        wanted = list(dict.fromkeys([ROW, *kept, *self.inputs]))
        with pq.ParquetFile(rows) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=wanted):
                yield self._scored(part, batch, kept)

    def _scored(self, part: Part, batch: pa.RecordBatch, kept: Sequence[str]) -> pa.RecordBatch:
        predictions = self._predict(part, batch)
        self._check(part, batch, predictions)
        count = batch.num_rows
        constants = {
            MODEL_VERSION: pa.scalar(self.version, pa.int64()),
            AS_OF: pa.scalar(self.as_of.astimezone(UTC), pa.timestamp("us", tz="UTC")),
            DATA_SOURCE: pa.scalar(part.data_source, pa.string()),
            GROUP: pa.scalar(0, pa.int32()),
        }
        columns: Mapping[str, pa.Array] = {
            **{name: batch.column(name) for name in kept},
            **answer_columns(predictions, self._classes),
            **{name: pa.repeat(value, count) for name, value in constants.items()},
        }
        return pa.RecordBatch.from_pydict(columns)

    def _predict(self, part: Part, batch: pa.RecordBatch) -> NDArray[np.float64]:
        frame = batch.select(list(self.inputs)).to_pandas(integer_object_nulls=True)
        try:
            answers = np.asarray(self.packaged.predict_frame(frame), dtype=np.float64)
        except _MACHINE:
            raise
        except Exception as error:
            raise PartNotScored(self._failure(part, batch, error)) from error
        if self._classes:
            answers = self._by_class(part, answers.reshape(batch.num_rows, -1))
        elif answers.shape != (batch.num_rows,):
            raise PartNotScored(
                f"Version {self.version} gave {answers.size} answers for {batch.num_rows} rows of {part.name}. "
                "Score with another version."
            )
        return answers

    @property
    def _classes(self) -> tuple[str, ...]:
        return self.definition.label.class_names

    def _by_class(self, part: Part, answers: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities of the definition's classes; those that came after the version have none in it."""
        known = tuple(getattr(self.packaged, "classes", ()))
        if not known or self._classes[: len(known)] != known or answers.shape[1] != len(known):
            raise PartNotScored(
                f"Version {self.version} cannot score {part.name}: it knows the classes "
                f"{', '.join(known) or '(none)'}, and label.classes does not begin with them. "
                "Score with another version."
            )
        found: NDArray[np.float64] = padded(answers, len(self._classes))
        return found

    def _failure(self, part: Part, batch: pa.RecordBatch, error: Exception) -> str:
        row = getattr(error, "row", None)
        field = getattr(error, "field", None)
        first, last = batch.column(ROW)[0].as_py(), batch.column(ROW)[batch.num_rows - 1].as_py()
        place = f"row {first + row}" if isinstance(row, int) else f"rows {first} to {last}"
        place += f", field {field!r}" if field else ""
        words = " ".join(str(getattr(error, "problem", error)).split())[:300]
        return (
            f"Version {self.version} cannot score {part.name}, {place}: {type(error).__name__}: {words}. Repair the "
            "data, or score with another version."
        )

    def _check(self, part: Part, batch: pa.RecordBatch, predictions: NDArray[np.float64]) -> None:
        """Whatever the suites say, a score is a finite number, and a probability lies between 0 and 1."""
        answers = predictions.reshape(len(predictions), -1)
        bad = ~np.isfinite(answers).all(axis=1)
        meant = "finite"
        if self.definition.task != "regression":
            bad |= ~((answers >= 0) & (answers <= 1)).all(axis=1)
            meant = "a probability"
        if bad.any():
            place = int(np.flatnonzero(bad)[0])
            row = batch.column(ROW)[place].as_py()
            raise PartNotScored(
                f"Version {self.version} gave answers for {part.name} that are not {meant}: {int(bad.sum())} of "
                f"{len(predictions)} rows, first row {row}: {predictions[place]}. Score with another version."
            )
