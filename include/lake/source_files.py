"""Source files as they lie there: where, in what format, with which columns, and how DuckDB reads them."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from include.lake.connections import quote_text
from include.lake.paths import source_path
from include.settings import Settings
from include.spec.definition import Definition

FileFormat = Literal["parquet", "csv"]
FILE_NAME = "_source_file"
_OURS = frozenset({FILE_NAME, "_group", "_label"})  # what queries add to a file's own columns


class UnreadableFile(Exception):
    """A source file is not what its format says; the text is a clause for a problem's sentence."""


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """A readable source file.

    :param path: where it is read.
    :param shown: how people know it: the same path, or its address in the bucket.
    :param columns: in its own order, with their physical types.
    """

    path: Path
    shown: str
    format: FileFormat
    columns: tuple[tuple[str, str], ...]

    @property
    def names(self) -> list[str]:
        """Its column names."""
        return [name for name, _ in self.columns]


def is_file_per_partition(definition: Definition) -> bool:
    """Whether the source has a file of its own for each partition."""
    return "{partition}" in definition.source.path


def partition_source(settings: Settings, definition: Definition, key: str) -> Path:
    """The file in which a partition's rows are expected.

    :raises UnsafeName: if the key is not of the form of a partition key.
    """
    return source_path(settings, definition.source.path, key if is_file_per_partition(definition) else None)


def file_format(definition: Definition) -> FileFormat:
    """The source's format: as declared, else by the path's ending (Parquet unless it is ``.csv``)."""
    return format_of(definition.source.path, definition.source.format)


def format_of(path: str, declared: FileFormat | None) -> FileFormat:
    """The format of files: as declared, else by their path's ending."""
    return declared or ("csv" if path.lower().endswith(".csv") else "parquet")


def inspect_file(path: Path, form: FileFormat, shown: str) -> SourceFile:
    """Read a file's column names and types, nothing more.

    :param shown: how people know it.
    :raises UnreadableFile: if it is empty, cut off or not of its format.
    """
    if path.stat().st_size == 0:
        raise UnreadableFile("is empty (0 bytes)")
    columns = _parquet_columns(path) if form == "parquet" else _csv_columns(path)
    names = [name.lower() for name, _ in columns]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise UnreadableFile(f"has more than one column named {', '.join(doubled)}")
    if taken := sorted(_OURS.intersection(names)):
        raise UnreadableFile(f"has a column named {', '.join(taken)}, a name that is kept for reading; rename it")
    return SourceFile(path=path, shown=shown, format=form, columns=columns)


def scan_sql(files: Sequence[SourceFile]) -> str:
    """A table expression that reads files of equal columns; the column ``_source_file`` names the file."""
    paths = ", ".join(quote_text(_literal_path(file.path)) for file in files)
    options = f"filename = {quote_text(FILE_NAME)}, hive_partitioning = false"
    if files[0].format == "parquet":
        return f"read_parquet([{paths}], {options})"
    types = ", ".join(f"{quote_text(name)}: 'VARCHAR'" for name in files[0].names)
    return (
        f"read_csv([{paths}], {options}, auto_detect = false, header = true, delim = ',', quote = '\"', "
        f"escape = '\"', nullstr = '', strict_mode = true, columns = {{{types}}})"
    )


def _parquet_columns(path: Path) -> tuple[tuple[str, str], ...]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the machine: what is wrong in the file has none
            raise
        raise UnreadableFile(f"is not a complete Parquet file ({_first_line(error)})") from error
    return tuple((field.name, str(field.type)) for field in schema)


def _csv_columns(path: Path) -> tuple[tuple[str, str], ...]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise UnreadableFile(f"is not CSV text in UTF-8 ({_first_line(error)})") from error
    if not any(header):
        raise UnreadableFile("has no header line with column names")
    return tuple((name, "text") for name in header)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _literal_path(path: Path) -> str:
    """The path with the characters that DuckDB would take for a pattern escaped."""
    return re.sub(r"([\[*?])", r"[\1]", str(path))
