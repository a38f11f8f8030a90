"""What the images' locks say, for the tests of this room."""

from __future__ import annotations

import re
from pathlib import Path

from include.settings import PROJECT

DOCKER = PROJECT / "docker"
_PINNED = re.compile(r"^(?P<name>[a-z0-9.-]+)==(?P<version>[^ ;\\]+)(?: *; *(?P<marker>[^\\]+?))? *\\?$")
_HASH = re.compile(r"--hash=(sha256:[0-9a-f]{64})")

Pinned = dict[tuple[str, str], frozenset[str]]


def read_lock(path: Path) -> Pinned:
    """Hashes by name and version. Every line must be understood."""
    pinned: dict[tuple[str, str], set[str]] = {}
    current: set[str] = set()
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if text.startswith("--hash="):
            current.update(_HASH.findall(text))
            continue
        match = _PINNED.match(text)
        assert match, f"{path.name} has a line that pins nothing: {line}"
        current = pinned.setdefault((match["name"], match["version"]), set())
    return {key: frozenset(hashes) for key, hashes in pinned.items()}


def names(lock: Pinned) -> set[str]:
    return {name for name, _ in lock}
