"""The side tables of a source: where their files are for a partition, and what is missing."""

from __future__ import annotations

import glob
from pathlib import Path

from include.lake.delta_snapshot import DeltaSnapshot
from include.lake.join_inputs import DeltaInput, JoinInput, files_input
from include.lake.outcomes import absent, refused
from include.lake.paths import source_path
from include.lake.source_files import UnreadableFile, format_of
from include.lake.staging import StagedPartition
from include.lake.store import store_of
from include.settings import Settings
from include.spec.definition import Definition
from include.spec.side_tables import SideTable

_PARTITION = "{partition}"


class JoinTables:
    """The side tables of one run: one that is the same for all partitions is looked at once."""

    def __init__(self, settings: Settings, definition: Definition) -> None:
        self._settings = settings
        self._definition = definition
        self._store = store_of(settings)
        self._whole: dict[str, JoinInput | StagedPartition] = {}

    def open(self, key: str) -> dict[str, JoinInput] | StagedPartition:
        """The side tables for a partition by name; or what becomes of it, because one is not there or not readable.

        :raises NoSuchDeltaTable: if there is no such Delta table.
        :raises DeltaTableUnreadable: if it cannot be read as it is.
        """
        found: dict[str, JoinInput] = {}
        for name, table in self._definition.source.tables.items():
            one = self._open(name, table, key)
            if isinstance(one, StagedPartition):
                return one
            found[name] = one
        return found

    def is_there(self, key: str) -> bool:
        """Whether the files of all side tables have arrived; of Delta tables it is not asked."""
        return all(
            table.type == "delta" or any(self._store.size(path) is not None for path in self._paths(table, key))
            for table in self._definition.source.tables.values()
        )

    def _open(self, name: str, table: SideTable, key: str) -> JoinInput | StagedPartition:
        if _PARTITION in table.path:
            return self._look(name, table, key)
        if name not in self._whole:
            found = self._look(name, table, key)
            if isinstance(found, StagedPartition):
                return found
            self._whole[name] = found
        return self._whole[name]

    def _look(self, name: str, table: SideTable, key: str) -> JoinInput | StagedPartition:
        if table.type == "delta":
            keys = ("source", "tables", name, "path")
            snapshot = DeltaSnapshot(self._settings, self._definition, keys, table.path)
            return DeltaInput(snapshot=snapshot, files=snapshot.files)
        paths = self._paths(table, key)
        self._store.fetch(*paths)
        paths = [path for path in paths if path.is_file()]
        shown = self._store.shown(self._pattern(table, key))
        if not paths:
            return absent(key, shown, f"there is no file {shown} (source.tables.{name})")
        try:
            return files_input(self._store, paths, format_of(table.path, table.format), shown)
        except UnreadableFile as error:
            problem = f"{shown} (source.tables.{name}) {error}. Deliver it again and ingest the partition again."
            return refused(key, shown, problem)

    def _pattern(self, table: SideTable, key: str) -> Path:
        return source_path(self._settings, table.path, key if _PARTITION in table.path else None)

    def _paths(self, table: SideTable, key: str) -> list[Path]:
        """The file, or those that there are by the pattern."""
        pattern = self._pattern(table, key)
        if not glob.has_magic(table.path):
            return [pattern]
        inside = pattern.is_relative_to(self._settings.store)
        root = self._settings.store if inside else Path(pattern.anchor)
        found = self._store.find(root, pattern.relative_to(root).as_posix())
        return [path for path in found if not path.name.startswith((".", "_"))]
