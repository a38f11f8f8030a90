"""The one way to the store's files, be the store a folder or a bucket.

Everybody works with local paths below ``settings.store``. In a folder these are the files themselves, and all that is
here does next to nothing. Of a bucket they are this process's own copies: whoever reads what another process may have
written calls :meth:`Store.fetch` first, and whoever has finished a file calls :meth:`Store.deliver`. After a fetch the
local path tells the truth: the file is there as it is in the store, or it is not there.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from include.settings import Settings


@dataclass(frozen=True, kw_only=True)
class TableAddress:
    """Where a Delta table is, as ``deltalake`` takes it.

    :param uri: a folder, or an ``s3://`` address.
    :param options: how to get there; holds credentials. None for a folder.
    :param folder: the folder, if what is committed there still has to be brought to the disk; None for a bucket, which
        answers only when it has what was written.
    """

    uri: str
    options: dict[str, str] | None
    folder: Path | None

    def __repr__(self) -> str:
        return f"TableAddress({self.uri})"


class Store(Protocol):
    """What can be done with the store's files. Paths lie below ``settings.store``; others are left alone.

    All but :meth:`shown` and :meth:`place` raise StoreAway if the store cannot be reached, and StoreRefuses if it does
    not let us.
    """

    def fetch(self, *paths: Path, fixed: bool = False) -> None:
        """Make files readable at their local paths, as they are in the store now; one that is not there is not there.

        :param fixed: nobody writes to them any more: what was fetched before is good.
        """

    def fetch_folder(self, folder: Path) -> None:
        """Make all files below a folder readable, and remove local ones that are not there any more."""

    def deliver(self, *paths: Path) -> None:
        """Give finished local files to the store: each appears whole or not at all, in no certain order."""

    def deliver_folder(self, folder: Path, marker: str) -> None:
        """Make a folder of the store what it is here; nobody finds the marker file beside anything less than all of it.

        :param marker: name of the file in it that says that the folder is whole.
        """

    def size(self, path: Path) -> int | None:
        """Bytes of a file; None if there is none."""

    def find(self, folder: Path, pattern: str) -> list[Path]:
        """Files below a folder by a pattern such as ``*/*/gate.json``, sorted; they are not fetched by this."""

    def folders(self, folder: Path) -> list[Path]:
        """The folders right below a folder, sorted."""

    def touched(self, place: Path) -> float:
        """When a file, or anything in a folder, was last written (seconds since 1970); now, if it is just going."""

    def remove(self, *paths: Path) -> None:
        """Remove files; those that are not there are no fault."""

    def remove_folder(self, folder: Path) -> None:
        """Remove a folder with everything in it."""

    def table(self, folder: Path) -> TableAddress:
        """The address of the Delta table in a folder."""

    def has_table(self, folder: Path) -> bool:
        """Whether there is a Delta table in a folder."""

    def shown(self, path: Path) -> str:
        """The path as people, and other processes, know it."""

    def place(self, shown: str) -> Path:
        """The local path of what :meth:`shown` has named."""


@dataclass(frozen=True)
class FolderStore:
    """A store that is a folder of this machine, or a shared volume."""

    root: Path

    def fetch(self, *paths: Path, fixed: bool = False) -> None:
        """Nothing: the files are where they are read."""

    def fetch_folder(self, folder: Path) -> None:
        """Nothing, too."""

    def deliver(self, *paths: Path) -> None:
        """Nothing, too."""

    def deliver_folder(self, folder: Path, marker: str) -> None:
        """Nothing, too: whoever writes a folder gives it its name when it is whole."""

    def size(self, path: Path) -> int | None:
        """See :class:`Store`."""
        return path.stat().st_size if path.is_file() else None

    def find(self, folder: Path, pattern: str) -> list[Path]:
        """See :class:`Store`."""
        return sorted(folder.glob(pattern))

    def folders(self, folder: Path) -> list[Path]:
        """See :class:`Store`."""
        if not folder.is_dir():
            return []
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())

    def touched(self, place: Path) -> float:
        """See :class:`Store`."""
        newest = 0.0
        for path in (place, *place.rglob("*")):
            try:
                newest = max(newest, path.lstat().st_mtime)
            except FileNotFoundError:
                return time.time()  # somebody works here
        return newest

    def remove(self, *paths: Path) -> None:
        """See :class:`Store`."""
        for path in paths:
            path.unlink(missing_ok=True)

    def remove_folder(self, folder: Path) -> None:
        """See :class:`Store`."""
        shutil.rmtree(folder, ignore_errors=True)

    def table(self, folder: Path) -> TableAddress:
        """See :class:`Store`."""
        return TableAddress(uri=str(folder), options=None, folder=folder)

    def has_table(self, folder: Path) -> bool:
        """See :class:`Store`."""
        from deltalake import DeltaTable

        return folder.is_dir() and bool(DeltaTable.is_deltatable(str(folder)))

    def shown(self, path: Path) -> str:
        """See :class:`Store`."""
        return str(path)

    def place(self, shown: str) -> Path:
        """See :class:`Store`."""
        return Path(shown)


def store_of(settings: Settings) -> Store:
    """The store that the settings name."""
    if settings.bucket is None:
        return FolderStore(settings.store)
    return _bucket_store(settings)


@lru_cache(maxsize=8)
def _bucket_store(settings: Settings) -> Store:
    from include.lake.bucket import BucketStore

    return BucketStore(settings)
