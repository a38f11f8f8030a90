"""What the images' locks say, for the tests of this room."""

from __future__ import annotations

from pathlib import Path

from include.supply_chain import locks
from include.supply_chain.locks import DOCKER

__all__ = ["DOCKER", "Hashes", "names", "read_lock"]

Hashes = dict[tuple[str, str], frozenset[str]]


def read_lock(path: Path) -> Hashes:
    """Hashes by name and version. Every line must be understood."""
    return {(package.name, package.version): frozenset(package.hashes) for package in locks.read_lock(path)}


def names(lock: Hashes) -> set[str]:
    return {name for name, _ in lock}
