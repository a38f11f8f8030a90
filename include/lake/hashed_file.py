"""A new file whose SHA-256 is known when it is whole: its bytes are not read again."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Final

_BUFFER: Final = 1 << 20


class HashedFile(io.RawIOBase):
    """Writes a file from its beginning to its end.

    :param path: a file of this name is replaced.
    :raises OSError: by each method, if the disk refuses.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=_BUFFER)
        self._digest = hashlib.sha256()
        self._written = 0

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        """Append bytes."""
        self._digest.update(data)
        count = self._file.write(data)
        self._written += count
        return count

    def tell(self) -> int:
        """Bytes written until now."""
        return self._written

    def flush(self) -> None:
        """Nothing is flushed before the end: the writers flush after each row group."""

    def end(self) -> str:
        """Close it; returns the SHA-256 of its bytes (64 hex characters)."""
        self._file.close()
        self.close()
        return self._digest.hexdigest()
