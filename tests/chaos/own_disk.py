"""A small file system of its own, which can be filled, remounted read-only, and made to stand still."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.case import MeansLacking

_MIB = 1024 * 1024


@dataclass(frozen=True)
class OwnDisk:
    """A mounted ext4 in a file; see :func:`own_disk`."""

    path: Path

    @property
    def _ballast(self) -> Path:
        return self.path / "ballast"

    def leave(self, free: int) -> None:
        """Fill it until so many bytes are left."""
        self.empty()
        with self._ballast.open("wb") as file, suppress(OSError):
            while True:
                file.write(bytes(_MIB))
                file.flush()
        with self._ballast.open("r+b") as file, suppress(OSError):
            file.seek(0, os.SEEK_END)
            while True:  # what the last whole mebibyte has left
                file.write(bytes(4096))
                file.flush()
        os.sync()
        os.truncate(self._ballast, max(0, self._ballast.stat().st_size - free))

    def empty(self) -> None:
        """Take the ballast away."""
        self._ballast.unlink(missing_ok=True)
        os.sync()  # ext4 gives the room back when its journal is written

    def read_only(self, on: bool) -> None:
        """Remount it."""
        _run("mount", "-o", f"remount,{'ro' if on else 'rw'}", str(self.path))

    def stand_still(self, seconds: float) -> threading.Timer:
        """Every write waits for so long, as on a disk that does not answer; returns the timer that ends it."""
        _run("fsfreeze", "-f", str(self.path))
        thaw = threading.Timer(seconds, lambda: _run("fsfreeze", "-u", str(self.path)))
        thaw.start()
        return thaw


@contextmanager
def own_disk(mebibytes: int) -> Iterator[OwnDisk]:
    """A disk that is gone at the end.

    :raises MeansLacking: if this machine cannot mount one.
    """
    folder = Path(tempfile.mkdtemp(prefix="noria-disk-"))
    image, place = folder / "image", folder / "disk"
    place.mkdir()
    try:
        with image.open("wb") as file:
            file.truncate(mebibytes * _MIB)
        try:
            # No reserve for root, who else would never see the disk full.
            _run("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
            _run("mount", "-o", "loop", str(image), str(place))
        except (OSError, subprocess.CalledProcessError) as error:
            raise MeansLacking(f"a file system of its own cannot be mounted here: {error}") from None
        try:
            yield OwnDisk(place)
        finally:
            _run("umount", "--lazy", str(place))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
