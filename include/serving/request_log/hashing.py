"""Keyed hashes of what the request log must not show: personal columns and entity keys.

The key is made once for an installation and never leaves its folder; servers that share a store are given one to
share. Without it a hash cannot be compared with a guess; with it equal values have equal hashes, so that labels still
find their rows.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path
from typing import Any, Final

import orjson

from include.errors import NoriaError
from include.serving.request_log.segments import to_disk
from include.settings import Settings

KEY_FILE: Final = "hashing.key"
_KEY_BYTES: Final = 32
_DIGEST_BYTES: Final = 16


class HashingKeyUnusable(NoriaError):
    """The key's file is not what this installation made.

    :param path: the file.
    :param problem: what is wrong with it.
    """

    def __init__(self, path: Path, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(
            f"The key of the request log's hashes, {path}, is not usable: {problem}. Restore it from a backup; with a "
            "new key labels by entity no longer find rows that were logged before."
        )


class Hashing:
    """Hashes with one installation's key.

    :param key: 32 secret bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._keyed = hashlib.blake2b(key=key, digest_size=_DIGEST_BYTES)

    @classmethod
    def of(cls, settings: Settings) -> Hashing:
        """The hashing of an installation: with the key of ``settings.hashing_key``, if it is set, else its home's own.

        A home's own key is made if there is none yet, and any number of processes may race; a shared one never is.

        :raises HashingKeyUnusable: the key's file is damaged, cannot be read, or is a shared one that is not there.
        """
        path = settings.hashing_key or settings.home / "serving" / KEY_FILE
        if settings.hashing_key is None and not path.exists():
            _make(path)
        try:
            key = path.read_bytes()
        except OSError as error:
            raise HashingKeyUnusable(path, str(error)) from error
        if len(key) != _KEY_BYTES:
            raise HashingKeyUnusable(path, f"it has {len(key)} bytes, not {_KEY_BYTES}")
        return cls(key)

    def text(self, text: str) -> str:
        """The hash of a text: 32 hex digits."""
        keyed = self._keyed.copy()
        keyed.update(text.encode())
        return keyed.hexdigest()

    def value(self, value: Any) -> str | None:
        """The hash of a JSON scalar (None stays None); 5 and 5.0 are the same value."""
        if value is None or value != value:
            return None
        if isinstance(value, str):
            return self.text(value)
        if type(value) is int or (isinstance(value, float) and value.is_integer()):
            return self.text(str(int(value)))  # which may have more than 64 bits
        return self.text(orjson.dumps(value, default=str).decode())


def _make(path: Path) -> None:
    """Write a new key beside and link it into place: the first of several processes wins, and no file is half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, secrets.token_bytes(_KEY_BYTES))
        os.fsync(handle)
    finally:
        os.close(handle)
    try:
        os.link(partial, path)
    except FileExistsError:
        pass
    finally:
        partial.unlink()
        to_disk(path.parent)
