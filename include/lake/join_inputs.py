"""What a join reads: the driving table's rows of one partition and the side tables, each as DuckDB reads it.

An input knows its content before it is read, as a digest of its files: what is made from the same inputs need not be
made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from include.lake.connections import quote_name
from include.lake.delta_snapshot import DeltaFile, DeltaSnapshot
from include.lake.digests import file_checksum, inputs_digest
from include.lake.faults import file_stamp
from include.lake.source_files import FILE_NAME, FileFormat, SourceFile, UnreadableFile, inspect_file, scan_sql
from include.lake.store import Store

_SHOWN_DIGITS: Final = 16


@dataclass(frozen=True, kw_only=True)
class FilesInput:
    """Files of equal columns.

    :param shown: how people know them.
    :param files: in the order of their paths.
    :param stamps: size and time of each when its checksum was taken.
    :param content: digest of their bytes.
    """

    shown: str
    files: tuple[SourceFile, ...]
    stamps: tuple[tuple[int, int], ...]
    content: str

    @property
    def origin(self) -> str:
        """How lineage calls what was read."""
        return f"{self.shown} (digest {self.content[:_SHOWN_DIGITS]})"

    @property
    def folders(self) -> set[Path]:
        """The folders that DuckDB must be allowed to read; a file may be a link."""
        return {folder for file in self.files for folder in (file.path.parent, file.path.resolve().parent)}

    def table(self, connection: duckdb.DuckDBPyConnection, name: str) -> str:  # noqa: ARG002 - as other inputs
        """A table expression with the files' rows and columns."""
        return f"(SELECT * EXCLUDE ({quote_name(FILE_NAME)}) FROM {scan_sql(self.files)})"  # nosec B608

    def changed(self) -> str | None:
        """The file that was written to since its checksum was taken; None if none was."""
        for file, stamp in zip(self.files, self.stamps, strict=True):
            if not file.path.is_file() or file_stamp(file.path) != stamp:
                return file.shown
        return None


@dataclass(frozen=True, kw_only=True)
class DeltaInput:
    """A whole Delta table, at one version."""

    snapshot: DeltaSnapshot
    files: Sequence[DeltaFile]

    @property
    def shown(self) -> str:
        """How people know it."""
        return self.snapshot.label

    @property
    def content(self) -> str:
        """Digest of the list of its files."""
        return self.snapshot.content()

    @property
    def origin(self) -> str:
        """How lineage calls what was read."""
        return self.snapshot.label

    @property
    def folders(self) -> set[Path]:
        """None: its rows are streamed to DuckDB."""
        return set()

    def table(self, connection: duckdb.DuckDBPyConnection, name: str) -> str:
        """A table expression with its rows.

        :param name: a name for it that nothing else in the connection has.
        """
        self.snapshot.register(connection, name, self.files)
        return quote_name(name)

    def changed(self) -> str | None:
        """None: a version never changes."""
        return None


JoinInput = FilesInput | DeltaInput


def files_input(store: Store, paths: Sequence[Path], form: FileFormat, shown: str) -> FilesInput:
    """Files that are there, as an input.

    :param paths: local ones, fetched.
    :param shown: how people know them together.
    :raises UnreadableFile: if one is not of its format, or they have not the same columns.
    """
    stamps = tuple(file_stamp(path) for path in paths)
    sums = [(store.shown(path), file_checksum(path)) for path in paths]
    files = tuple(inspect_file(path, form, store.shown(path)) for path in paths)
    for file in files:
        if file.columns != files[0].columns:
            raise UnreadableFile(f"has files of different columns: {files[0].shown} and {file.shown}")
    content = sums[0][1] if len(sums) == 1 else inputs_digest(files=sums)
    return FilesInput(shown=shown, files=files, stamps=stamps, content=content)
