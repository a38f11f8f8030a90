"""What this process serves now: read by requests, replaced by the follower, never half changed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from include.registry.deployed import ModelState
from include.serving.loaded import LoadedModel

Status = Literal["serving", "loading", "stale", "failed", "none", "retired"]
Problem = Literal["away", "corrupt", "unloadable"]


@dataclass(frozen=True, kw_only=True)
class Served:
    """One model as this process serves it.

    :param state: the deployment state that it follows.
    :param loaded: the version that answers, or None.
    :param error: why the wanted version does not answer, or None.
    :param problem: the kind of that error.
    :param since: since when it is as it is.
    """

    state: ModelState
    loaded: LoadedModel | None
    since: datetime
    error: str | None = None
    problem: Problem | None = None

    @property
    def wanted(self) -> int | None:
        """Version that the state wants as champion."""
        champion = self.state.roles.get("champion")
        return None if champion is None else champion.version

    @property
    def status(self) -> Status:
        """serving; loading, failed: nothing answers (yet); stale: an older version still answers; none; retired."""
        if self.state.retired_at is not None:
            return "retired"
        if self.wanted is None:
            return "none"
        if self.loaded is None:
            return "failed" if self.error else "loading"
        return "serving" if self.loaded.deployed.version == self.wanted else "stale"

    def to_document(self) -> dict[str, Any]:
        """The same as JSON for ``GET /models/{model}``."""
        deployed = self.loaded.deployed if self.loaded else None
        return {
            "model": self.state.model,
            "status": self.status,
            "version": deployed.version if deployed else None,
            "wanted_version": self.wanted,
            "revision": self.state.revision,
            "since": self.since.isoformat(),
            "error": self.error,
            "problem": self.problem,
            "as_of": deployed.as_of.isoformat() if deployed else None,
            "artifact_digest": deployed.artifact_digest if deployed else None,
            "columns": self.loaded.columns if self.loaded else None,
        }


@dataclass(frozen=True, kw_only=True)
class Table:
    """Everything that this process serves; replaced as a whole.

    :param known: whether the deployment state was ever read, from the database or from the file.
    :param error: why the database cannot be read now, or None.
    :param error_since: since when.
    """

    models: dict[str, Served] = field(default_factory=dict)
    known: bool = False
    error: str | None = None
    error_since: datetime | None = None

    def having(self, served: Served) -> Table:
        """The same table with one model replaced."""
        return replace(self, models={**self.models, served.state.model: served})

    @property
    def ready(self) -> bool:
        """Whether every model with a champion has a version that answers."""
        return self.known and all(served.status not in {"loading", "failed"} for served in self.models.values())
