"""Patterns of paths, such as ``landing/**/*.parquet``, as the ``glob`` module reads them, for lists of names."""

from __future__ import annotations

import glob
import re
from typing import Final

_PIECES: Final = re.compile(r"\*+|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)
_IN_CLASS: Final = re.compile(r"([\\^&~|[])")


def fixed_part(pattern: str) -> str:
    """The folders of a pattern before its first part with a wildcard; never its last part."""
    fixed: list[str] = []
    for part in pattern.split("/")[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return "/".join(fixed)


def path_pattern(pattern: str) -> re.Pattern[str]:
    """A pattern as a regular expression for whole paths with forward slashes.

    ``**`` stands for any number of folders; a wildcard at the beginning of a name does not match hidden ones.
    """
    *folders, name = pattern.split("/")
    text = "".join(r"(?:[^./][^/]*/)*" if folder == "**" else f"{_name(folder)}/" for folder in folders)
    text += r"(?:[^./][^/]*/)*[^./][^/]*" if name == "**" else _name(name)
    return re.compile(text, re.DOTALL)


def _name(part: str) -> str:
    """One name of a pattern as a regular expression."""
    pieces = [_piece(piece) for piece in _PIECES.findall(part)]
    hidden = r"(?!\.)" if glob.has_magic(part[:1]) else ""
    return hidden + "".join(pieces)


def _piece(piece: str) -> str:
    if piece.startswith("*"):
        return "[^/]*"
    if piece == "?":
        return "[^/]"
    if piece.startswith("[") and len(piece) > 2:
        negated, body = ("^", piece[2:-1]) if piece[1] == "!" else ("", piece[1:-1])
        escaped = _IN_CLASS.sub(r"\\\1", body)
        return f"[{negated}{escaped}]"
    return re.escape(piece)
