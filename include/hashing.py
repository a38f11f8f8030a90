"""Keyed hashes of what must not be shown: personal columns and entity keys in the request log, keys that were erased.

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
from include.settings import Settings

KEY_FILE: Final = "hashing.key"
_KEY_BYTES: Final = 32
_DIGEST_BYTES: Final = 16
_BLOCK_BYTES: Final = 64  # of SHA-256


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
            "new key labels by entity no longer find rows that were logged before, and erased keys are not known again."
        )


class Hashing:
    """Hashes with one installation's key.

    :param key: 32 secret bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._keyed = hashlib.blake2b(key=key, digest_size=_DIGEST_BYTES)
        self._erasure = hashlib.blake2b(b"erased keys", key=key, digest_size=_KEY_BYTES).digest()

    @classmethod
    def of(cls, settings: Settings) -> Hashing:
        """The hashing of an installation: with the key of ``settings.hashing_key``, if it is set, else its home's own.

        A home's own key is made if there is none yet, and any number of processes may race; a shared one never is.

        :raises HashingKeyUnusable: the key's file is damaged, cannot be read, or is a shared one that is not there.
        """
        path = settings.hashing_key or home_key(settings)
        if settings.hashing_key is None and not path.exists():
            _make(path)
        try:
            key = path.read_bytes()
        except OSError as error:
            raise HashingKeyUnusable(path, str(error)) from error
        if len(key) != _KEY_BYTES:
            raise HashingKeyUnusable(path, f"it has {len(key)} bytes, not {_KEY_BYTES}")
        return cls(key)

    @property
    def name(self) -> str:
        """A name of the key (16 hex digits) that says nothing of it: whether two processes have the same one."""
        return hashlib.blake2b(b"name", key=self._erasure, digest_size=8).hexdigest()

    def erasure_pads(self) -> tuple[bytes, bytes]:
        """The inner and the outer pad of HMAC-SHA256 of erased keys, with a key of their own: for DuckDB."""
        padded = self._erasure.ljust(_BLOCK_BYTES, b"\0")
        return bytes(byte ^ 0x36 for byte in padded), bytes(byte ^ 0x5C for byte in padded)

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


def home_key(settings: Settings) -> Path:
    """The file of a home's own key, which may not be there yet."""
    return settings.home / "serving" / KEY_FILE


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
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
