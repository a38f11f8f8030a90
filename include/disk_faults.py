"""A disk that is full, read-only or broken, told from defects of the program, whatever library met it first."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from typing import Final

from include.errors import NoriaError, TryAgain
from include.settings import Settings

_KINDS: Final[dict[int, tuple[str, str]]] = {
    errno.ENOSPC: ("is full", "Free space there"),
    errno.EDQUOT: ("has no room left for this user (a quota)", "Free space there, or raise the quota"),
    errno.EROFS: ("is read-only", "Mount it for writing"),
    errno.EIO: ("fails", "Look at the kernel's log and at the disk"),
}
# Libraries below us (DuckDB, SQLite, Delta Lake, Arrow) pass the kernel's word on as text.
_WORDS: Final = {
    errno.ENOSPC: re.compile(r"No space left on device|\bos error 28\b|database or disk is full", re.IGNORECASE),
    errno.EDQUOT: re.compile(r"Disk quota exceeded|\bos error 122\b", re.IGNORECASE),
    errno.EROFS: re.compile(r"Read-only file system|\bos error 30\b|readonly database", re.IGNORECASE),
    errno.EIO: re.compile(r"Input/output error|\bos error 5\b|disk I/O error", re.IGNORECASE),
}
# Errors of these names are about values, which they quote, and so are refusals of ours: what they say is no evidence.
_ABOUT_VALUES: Final = frozenset({"DataError", "ProgrammingError", ValueError.__name__, NoriaError.__name__})
_MARKUP: Final = re.compile(r"\x1b\[[0-9;]*m|↳")
_LONGEST: Final = 300


class DiskFault(TryAgain):
    """A disk took no writes, or gave no reads; carries the kernel's number for it."""

    def __init__(self, number: int, said: str, settings: Settings) -> None:
        self.number = number
        what, cure = _KINDS[number]
        inside = settings.store.is_relative_to(settings.home)
        folders = str(settings.home) if inside else f"{settings.store} {settings.home}"
        super().__init__(
            f"A disk {what}: {said}. Nothing half-written is visible, and the same can be run again. "
            f"{cure} (`df {folders} /tmp` shows which), then run it again."
        )


def disk_fault(error: BaseException, settings: Settings) -> DiskFault | None:
    """What the disk did, if the error or one that it comes from is a disk's; else None."""
    for one in _chain(error):
        number = kernels_number(one)
        if number is not None:
            said = " ".join(_MARKUP.sub(" ", str(one)).split())
            return DiskFault(number, said[:_LONGEST].rstrip(". "), settings)
    return None


def kernels_number(error: BaseException) -> int | None:
    """``ENOSPC``, ``EDQUOT``, ``EROFS`` or ``EIO`` if the error says one of them, as a number or as text."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno if error.errno in _KINDS else None
    if not _ABOUT_VALUES.isdisjoint(kind.__name__ for kind in type(error).__mro__):
        return None
    said = str(error)
    return next((number for number, words in _WORDS.items() if words.search(said)), None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and what it was raised from or while handling."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
