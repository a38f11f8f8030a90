"""A store in S3-compatible object storage: files by obstore, tables by deltalake, which are one client inside.

An object appears whole or not at all, and is on the disk of the storage when the call returns; there is no renaming and
no locking. A commit to a table is one conditional write, so that of two writers one is told.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final, cast

import obstore
from obstore.store import S3Store

from include.lake.patterns import fixed_part, path_pattern
from include.lake.store import FolderStore, TableAddress
from include.lake.store_faults import StoreAway, is_no_bucket, named_faults
from include.lake.working_copy import open_working_copy
from include.settings import Bucket, Settings

if TYPE_CHECKING:
    from obstore.store import S3Config

_AT_ONCE: Final = 8
_PIECE: Final = 16 << 20
_DEFAULT_REGION: Final = "us-east-1"
# In all about half a minute: a step that is told "try again" is tried again by Airflow, with longer pauses.
_CONNECT_SECONDS = 5
_REQUEST_SECONDS = 60
_RETRIES = 4
_RETRY_SECONDS = 30


def bucket_options(bucket: Bucket) -> dict[str, str]:
    """Where a bucket is and how it is entered, in the client's words; holds credentials."""
    region = bucket.region or (_DEFAULT_REGION if bucket.endpoint else None)
    given = {
        "aws_endpoint": bucket.endpoint,
        "aws_region": region,
        "aws_access_key_id": bucket.key,
        "aws_secret_access_key": bucket.secret,
        "aws_session_token": bucket.token,
        "aws_virtual_hosted_style_request": "false" if bucket.endpoint else "true",
        "aws_conditional_put": "etag",
    }
    return {name: value for name, value in given.items() if value}


def _table_options(bucket: Bucket) -> dict[str, str]:
    return bucket_options(bucket) | {
        "aws_allow_http": "true" if bucket.allow_http else "false",
        "connect_timeout": f"{_CONNECT_SECONDS}s",
        "timeout": f"{_REQUEST_SECONDS}s",
        "max_retries": str(_RETRIES),
        "retry_timeout": f"{_RETRY_SECONDS}s",
    }


def _client(bucket: Bucket) -> S3Store:
    return S3Store(
        bucket.name,
        prefix=bucket.prefix or None,
        config=cast("S3Config", bucket_options(bucket)),
        client_options={
            "allow_http": bucket.allow_http,
            "connect_timeout": f"{_CONNECT_SECONDS}s",
            "timeout": f"{_REQUEST_SECONDS}s",
        },
        retry_config={"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=_RETRY_SECONDS)},
    )


class BucketStore:
    """The store of settings with a bucket; see :class:`include.lake.store.Store`.

    :raises StoreAway: if the bucket cannot be reached.
    :raises StoreRefuses: if there is none, or it does not let us.
    """

    def __init__(self, settings: Settings) -> None:
        if settings.bucket is None:
            raise TypeError("these settings name no bucket")
        self._bucket = settings.bucket
        self._root = settings.store
        self._machine = FolderStore(self._root)  # what lies outside of the store is of this machine
        self._options = _table_options(self._bucket)
        open_working_copy(self._root)
        with named_faults(self._bucket, "opening it"):
            self._client = _client(self._bucket)
        # A bucket that is not there looks the same as a file that is not there, unless it is asked for a list.
        self._right_below(self._root)

    def fetch(self, *paths: Path, fixed: bool = False) -> None:
        """See :class:`Store`."""
        wanted = [p for p in dict.fromkeys(paths) if p.is_relative_to(self._root) and not (fixed and p.is_file())]
        _each(self._fetch, wanted)

    def fetch_folder(self, folder: Path) -> None:
        """See :class:`Store`."""
        there = self._files(folder)
        for path in [path for path in folder.rglob("*") if path.is_file() and path not in there]:
            path.unlink(missing_ok=True)
        self.fetch(*there)

    def deliver(self, *paths: Path) -> None:
        """See :class:`Store`."""
        _each(self._deliver, [path for path in dict.fromkeys(paths) if path.is_relative_to(self._root)])

    def deliver_folder(self, folder: Path, marker: str) -> None:
        """See :class:`Store`."""
        here = [path for path in folder.rglob("*") if path.is_file() and path != folder / marker]
        there = self._files(folder)
        if folder / marker in there:
            self._delete(folder / marker)
        _each(self._delete, [path for path in there if path not in here and path != folder / marker])
        self.deliver(*here)
        self._deliver(folder / marker)

    def size(self, path: Path) -> int | None:
        """See :class:`Store`."""
        if not path.is_relative_to(self._root):
            return path.stat().st_size if path.is_file() else None
        key = self._key(path)
        with named_faults(self._bucket, f"looking for {key}"), suppress(FileNotFoundError):
            return int(obstore.head(self._client, key)["size"])
        return None

    def find(self, folder: Path, pattern: str) -> list[Path]:
        """See :class:`Store`."""
        if not folder.is_relative_to(self._root):
            return self._machine.find(folder, pattern)
        wanted = path_pattern(pattern)
        below = folder / fixed_part(pattern)
        return [path for path in self._files(below) if wanted.matches(path.relative_to(folder).as_posix())]

    def folders(self, folder: Path) -> list[Path]:
        """See :class:`Store`."""
        return sorted(self._root / PurePosixPath(name) for name in self._right_below(folder)["common_prefixes"])

    def touched(self, place: Path) -> float:
        """See :class:`Store`."""
        found = self._below(place)
        if not found:
            with named_faults(self._bucket, f"looking for {self._key(place)}"), suppress(FileNotFoundError):
                found = [obstore.head(self._client, self._key(place))]
        return max((one["last_modified"].timestamp() for one in found), default=time.time())

    def remove(self, *paths: Path) -> None:
        """See :class:`Store`."""
        mine = [path for path in dict.fromkeys(paths) if path.is_relative_to(self._root)]
        _each(self._delete, mine)
        for path in mine:
            path.unlink(missing_ok=True)

    def remove_folder(self, folder: Path) -> None:
        """See :class:`Store`."""
        self.remove(*self._files(folder))
        shutil.rmtree(folder, ignore_errors=True)

    def table(self, folder: Path) -> TableAddress:
        """See :class:`Store`."""
        if not folder.is_relative_to(self._root):
            return self._machine.table(folder)
        return TableAddress(uri=self.shown(folder), options=dict(self._options), folder=None)

    def has_table(self, folder: Path) -> bool:
        """See :class:`Store`."""
        if not folder.is_relative_to(self._root):
            return self._machine.has_table(folder)
        return bool(self._right_below(folder / "_delta_log")["objects"])

    def shown(self, path: Path) -> str:
        """See :class:`Store`."""
        if not path.is_relative_to(self._root):
            return str(path)
        return f"{self._bucket.url}/{self._key(path)}".rstrip("/")

    def place(self, shown: str) -> Path:
        """See :class:`Store`."""
        beginning = f"{self._bucket.url}/"
        return self._root / shown.removeprefix(beginning) if shown.startswith(beginning) else Path(shown)

    # ---- one object -------------------------------------------------------------------------------------------------

    def _fetch(self, path: Path) -> None:
        """Bring an object beside its place, then into it: a reader in this process never sees half of it."""
        key = self._key(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.fetched")
        try:
            with named_faults(self._bucket, f"reading {key}"):
                try:
                    found = obstore.get(self._client, key)
                except FileNotFoundError as error:
                    if is_no_bucket(error):
                        raise
                    path.unlink(missing_ok=True)
                    return
                self._save(found, partial, key)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def _save(self, found: obstore.GetResult, partial: Path, key: str) -> None:
        with partial.open("wb") as file:
            for piece in found.stream(min_chunk_size=_PIECE):
                file.write(piece)
        size = partial.stat().st_size
        if size != found.meta["size"]:
            raise StoreAway(self._bucket, f"reading {key}", f"it ended after {size} of {found.meta['size']} bytes")

    def _deliver(self, path: Path) -> None:
        """Upload a file: in one request, or in parts that become an object with the last one."""
        key = self._key(path)
        with path.open("rb") as file, named_faults(self._bucket, f"writing {key}"):
            obstore.put(self._client, key, file)

    def _delete(self, path: Path) -> None:
        key = self._key(path)
        with named_faults(self._bucket, f"removing {key}"), suppress(FileNotFoundError):
            obstore.delete(self._client, key)

    # ---- lists ------------------------------------------------------------------------------------------------------

    def _files(self, folder: Path) -> list[Path]:
        return sorted(self._root / PurePosixPath(found["path"]) for found in self._below(folder))

    def _below(self, folder: Path) -> list[Any]:
        """The objects of a folder and of those in it."""
        with named_faults(self._bucket, f"listing {self._key(folder)}"):
            return [found for some in obstore.list(self._client, self._prefix(folder)) for found in some]

    def _right_below(self, folder: Path) -> Any:
        """The objects of a folder, and the folders in it."""
        with named_faults(self._bucket, f"listing {self._key(folder)}"):
            return obstore.list_with_delimiter(self._client, self._prefix(folder))

    def _prefix(self, folder: Path) -> str | None:
        return None if folder == self._root else self._key(folder)

    def _key(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()


def _each(work: Callable[[Path], None], paths: Iterable[Path]) -> None:
    """Do something with each path, several at once; the first fault ends it."""
    todo = list(paths)
    if len(todo) <= 1:
        for path in todo:
            work(path)
        return
    with ThreadPoolExecutor(min(_AT_ONCE, len(todo)), thread_name_prefix="store") as pool:
        futures = [pool.submit(work, path) for path in todo]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
