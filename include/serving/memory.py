"""The last known deployment state on disk, so that a server starts with neither database nor MLflow."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from include.registry.deployed import DeployedVersion, ModelState

_log = logging.getLogger(__name__)


class StateFile:
    """Two JSON documents in a folder: the state that was last read, and the version that each model last answered with.

    Workers share them; each write replaces a file whole.

    :param folder: ``<home>/serving``.
    """

    def __init__(self, folder: Path) -> None:
        self._state = folder / "state.json"
        self._served = folder / "served"

    def write(self, states: Mapping[str, ModelState]) -> None:
        """Keep the state."""
        write_states(self._state, states)

    def read(self) -> dict[str, ModelState] | None:
        """The state that was kept, or None if there is none or it cannot be read."""
        document = _load(self._state)
        try:
            return None if document is None else states_of(document)
        except (KeyError, TypeError, ValueError, AttributeError):
            _log.warning("%s cannot be understood and is ignored", self._state)
            return None

    def write_served(self, deployed: DeployedVersion) -> None:
        """Keep the version that a model answers with."""
        _replace(self._served / f"{deployed.model}.json", asdict(deployed))

    def read_served(self, model: str) -> DeployedVersion | None:
        """The version that a model last answered with, or None."""
        document = _load(self._served / f"{model}.json")
        try:
            return None if document is None else _version(document)
        except (KeyError, TypeError, ValueError):
            return None


def write_states(path: Path, states: Mapping[str, ModelState]) -> None:
    """Write a deployment state as JSON; a file that is there is replaced whole."""
    _replace(path, {name: asdict(state) for name, state in states.items()})


def states_of(document: Mapping[str, Any]) -> dict[str, ModelState]:
    """The deployment state that such a document holds.

    :raises KeyError, TypeError, ValueError, AttributeError: it is no such document.
    """
    return {name: _state(kept) for name, kept in document.items()}


def _replace(path: Path, document: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(document, file, default=_iso)
        file.flush()
        os.fsync(file.fileno())
    os.replace(name, path)


def _iso(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is not JSON")


def _load(path: Path) -> dict[str, Any] | None:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def _version(kept: Mapping[str, Any]) -> DeployedVersion:
    if "threshold" in kept:  # as it was written before a version was kept with its whole decision
        kept = {**kept, "decision": {"threshold": kept["threshold"]}}
        del kept["threshold"]
    times = {key: datetime.fromisoformat(kept[key]) for key in ("since", "as_of", "until") if kept.get(key) is not None}
    return DeployedVersion(**{**kept, **times})


def _state(kept: Mapping[str, Any]) -> ModelState:
    # A file of an older release knows nothing of models on their way out.
    times = {name: kept.get(name) for name in ("retired_at", "retiring_since", "retiring_until")}
    return ModelState(
        model=kept["model"],
        revision=kept["revision"],
        roles={role: _version(version) for role, version in kept["roles"].items()},
        **{name: None if text is None else datetime.fromisoformat(text) for name, text in times.items()},
    )
