"""Patterns of paths, such as ``landing/**/*.parquet``, as the ``glob`` module reads them, for lists of names.

A path is followed name by name, so its time grows with its length, whatever the pattern is.
"""

from __future__ import annotations

import fnmatch
import glob
import re
from dataclasses import dataclass
from typing import Final

_FOLDERS: Final = None
_VISIBLE: Final = re.compile(r"[^.].*", re.DOTALL)


def fixed_part(pattern: str) -> str:
    """The folders of a pattern before its first part with a wildcard; never its last part."""
    fixed: list[str] = []
    for part in pattern.split("/")[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return "/".join(fixed)


@dataclass(frozen=True)
class PathPattern:
    """A pattern of whole paths with forward slashes.

    :param parts: for each part of the pattern what a name must be; None for any number of folders.
    """

    parts: tuple[re.Pattern[str] | None, ...]

    def matches(self, path: str) -> bool:
        """Whether the pattern names this path."""
        places = self._on({0})
        for name in path.split("/"):
            places = self._on({after for place in places for after in self._after(place, name)})
        return len(self.parts) in places

    def _after(self, place: int, name: str) -> tuple[int, ...]:
        """Where one goes on in the pattern after a name that is met at a place of it."""
        if place == len(self.parts):
            return ()
        part = self.parts[place]
        if part is _FOLDERS:
            return (place,) if _VISIBLE.fullmatch(name) else ()
        return (place + 1,) if part.fullmatch(name) else ()

    def _on(self, places: set[int]) -> set[int]:
        """The places, and those behind them that no name is needed for."""
        for place in sorted(places):
            while place < len(self.parts) and self.parts[place] is _FOLDERS:
                place += 1  # noqa: PLW2901
                places.add(place)
        return places


def path_pattern(pattern: str) -> PathPattern:
    """Read a pattern.

    ``**`` stands for any number of folders; a wildcard at the beginning of a name does not match hidden ones.
    """
    *folders, name = pattern.split("/")
    parts = [_FOLDERS if folder == "**" else _name(folder) for folder in folders]
    return PathPattern((*parts, _FOLDERS, _VISIBLE) if name == "**" else (*parts, _name(name)))


def _name(part: str) -> re.Pattern[str]:
    """One name of a pattern as a regular expression, of the kind that does not try again what it has tried."""
    hidden = r"(?!\.)" if glob.has_magic(part[:1]) else ""
    return re.compile(hidden + fnmatch.translate(part))
