"""The project's version, and its locks: which packages, in which versions, with which files, asked for by whom."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from include.errors import Refused
from include.settings import PROJECT

ROOT_LOCK: Final = PROJECT / "requirements.lock"
DOCKER: Final = PROJECT / "docker"
_PINNED = re.compile(r"^(?P<name>[a-z0-9.-]+)==(?P<version>[^ ;\\]+)(?: *; *(?P<marker>[^\\]+?))? *\\?$")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class BadLock(Refused):
    """A lock has a line that pins nothing."""

    def __init__(self, path: Path, line: str) -> None:
        self.path, self.line = path, line
        super().__init__(f"{path.name} has a line that pins nothing: {line.strip()!r}. Make it anew with `make lock`.")


@dataclass(frozen=True)
class Pinned:
    """A package in a lock.

    :param name: its normal name.
    :param marker: the environments that install it; empty for all.
    :param hashes: SHA-256 of the files that may be installed, sorted.
    :param asked_by: names of packages that need it; a list's own wish is not among them.
    """

    name: str
    version: str
    marker: str = ""
    hashes: tuple[str, ...] = ()
    asked_by: tuple[str, ...] = field(default=())


def project_version() -> str:
    """The version in pyproject.toml."""
    document = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    return str(document["project"]["version"])


def read_lock(path: Path) -> tuple[Pinned, ...]:
    """The packages of a lock by name and version.

    :raises BadLock: if a line is not understood.
    """
    pinned = [_pinned(first, lines) for first, lines in _entries(path)]
    return tuple(sorted(pinned, key=lambda package: (package.name, package.version)))


def image_locks() -> dict[str, Path]:
    """The images' locks by name."""
    return {path.stem: path for path in sorted(DOCKER.glob("*.lock"))}


def all_pinned() -> dict[tuple[str, str], Pinned]:
    """Every package of every lock by name and version, as the root lock has it if it is there."""
    found: dict[tuple[str, str], Pinned] = {}
    for path in (ROOT_LOCK, *image_locks().values()):
        for package in read_lock(path):
            found.setdefault((package.name, package.version), package)
    return dict(sorted(found.items()))


def _entries(path: Path) -> Iterator[tuple[re.Match[str], list[str]]]:
    """Each package: the line that pins it, and its hashes and who asked for it."""
    first: re.Match[str] | None = None
    more: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if match := _PINNED.match(line):
            if first:
                yield first, more
            first, more = match, []
        elif line.startswith("    ") and first:
            more.append(line.strip())
        elif line.strip() and not line.startswith("#"):
            raise BadLock(path, line)
    if first:
        yield first, more


def _pinned(first: re.Match[str], lines: list[str]) -> Pinned:
    comments = [line.removeprefix("#").strip().removeprefix("via").strip() for line in lines if line[0] == "#"]
    return Pinned(
        first["name"],
        first["version"],
        first["marker"] or "",
        tuple(sorted({digest for line in lines for digest in _HASH.findall(line)})),
        tuple(sorted(comment for comment in comments if re.fullmatch(r"[a-z0-9.-]+", comment))),
    )
