"""The versions in memory of one process: bounded, the least recently used leave first, champions in use last."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Final

from include.registry.deployed import DeployedVersion
from include.serving.loaded import LoadedModel

Key = tuple[str, int, str, str]
"""Model, version, artifact digest, and the mark of all that is signed: what was changed is loaded and checked anew."""

Rank = Callable[[Key], int]
"""How much a version is needed: the lowest rank leaves first."""

SPARE: Final = 0
"""Rank of a version that answers nobody."""


def key_of(version: DeployedVersion) -> Key:
    """The name of a version in memory."""
    return version.model, version.version, version.artifact_digest, version.mark


class ModelsCache:
    """Loaded versions by key. Not locked: its owner calls it under a lock of its own.

    :param capacity: most versions that are kept.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = max(1, capacity)
        self._models: dict[Key, LoadedModel] = {}

    def __len__(self) -> int:
        return len(self._models)

    def get(self, key: Key) -> LoadedModel | None:
        """A version that is in memory, or None."""
        return self._models.get(key)

    def room(self) -> int:
        """How many more versions fit without one leaving."""
        return self._capacity - len(self._models)

    def put(self, model: LoadedModel, rank: Rank) -> list[Key]:
        """Keep a version; returns the keys of those that left for it."""
        model.used_at = time.monotonic()
        key = key_of(model.deployed)
        self._models[key] = model
        gone: list[Key] = []
        while len(self._models) > self._capacity:
            others = (other for other in self._models if other != key)
            last = min(others, key=lambda other: (rank(other), self._models[other].used_at))
            del self._models[last]
            gone.append(last)
        return gone

    def keep_only(self, keys: Collection[Key]) -> None:
        """Forget every version that is not among these."""
        for key in [key for key in self._models if key not in keys]:
            del self._models[key]

    def keys_of(self, model: str) -> set[Key]:
        """The versions of one model that are in memory."""
        return {key for key in self._models if key[0] == model}
