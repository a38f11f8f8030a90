"""The folder of a process's own copies of a bucket's files: private, locked while it is used, removed at the end.

A process that is killed leaves its folder behind; the next one on the same machine removes it.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from include.settings import COPY_PREFIX

_LOCK: Final = ".lock"
_YOUNG_SECONDS: Final = 3600.0
_held: dict[Path, int] = {}


def open_working_copy(root: Path) -> None:
    """Make the folder, hold it for as long as this process (or a child that it forks) lives, and sweep up dead ones."""
    if root in _held:
        return
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    root.chmod(0o700)
    handle = os.open(root / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    _held[root] = handle
    atexit.register(_remove, root, os.getpid())
    for other in root.parent.glob(f"{COPY_PREFIX}*"):
        if other != root:
            _remove_if_dead(other)


def _remove(root: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked child leaves it to its parent
        shutil.rmtree(root, ignore_errors=True)


def _remove_if_dead(root: Path) -> None:
    with suppress(OSError):
        if root.is_symlink() or root.stat().st_uid != os.getuid():
            return
        lock = root / _LOCK
        if not lock.exists():  # its process may be about to make it
            if time.time() - root.stat().st_mtime > _YOUNG_SECONDS:
                shutil.rmtree(root, ignore_errors=True)
            return
        handle = os.open(lock, os.O_RDWR)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(root, ignore_errors=True)
        finally:
            os.close(handle)
