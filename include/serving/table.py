"""What this process serves now: read by requests, replaced by the follower, never half changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import cached_property
from typing import Any, Literal

from include.registry.deployed import DeployedVersion, ModelState
from include.serving.loaded import LoadedModel
from include.serving.routing import threshold

Status = Literal["serving", "loading", "stale", "failed", "on demand", "none", "retired"]
RoleStatus = Literal["serving", "loading", "failed", "on demand"]
_ANSWERS = frozenset({"serving", "stale", "on demand"})
Problem = Literal["away", "corrupt", "unloadable", "untrusted"]

CHALLENGING = ("canary", "ab", "shadow", "candidate")
"""Roles of a challenger; a model has at most one of them at a time."""

ANSWERING = ("canary", "ab")
"""Roles in which a challenger answers a share of the requests."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """One role of a model as this process holds it.

    :param deployed: the version that the state wants in the role.
    :param loaded: the same in memory, or None.
    :param loading: whether it is being loaded.
    :param error: why it is not in memory, or None.
    :param problem: the kind of that error.
    """

    deployed: DeployedVersion
    loaded: LoadedModel | None = None
    loading: bool = False
    error: str | None = None
    problem: Problem | None = None

    @property
    def status(self) -> RoleStatus:
        """serving: in memory; loading; failed: see the error; on demand: loaded by the first request for it."""
        if self.loaded is not None:
            return "serving"
        if self.error is not None:
            return "failed"
        return "loading" if self.loading else "on demand"

    def to_document(self) -> dict[str, Any]:
        """The same as JSON."""
        until = self.deployed.until
        return {
            "version": self.deployed.version,
            "status": self.status,
            "error": self.error,
            "problem": self.problem,
            "share": self.deployed.share,
            "since": self.deployed.since.isoformat(),
            "stage": self.deployed.plan.get("stage"),
            "deployment": self.deployed.deployment,
            "until": until.isoformat() if until else None,
        }


@dataclass(frozen=True, kw_only=True)
class Challenger:
    """The challenger of a model, as the hot path reads it.

    :param answers_below: the first bucket that it does not answer; 0 for a shadow and for a version not in memory.
    :param paired: whether requests are also scored by the version that did not answer.
    :param asks_for: inputs that the champion does not know. Callers begin to send them when they can; a request without
        them is the champion's, and no evidence.
    """

    role: str
    version: int
    loaded: LoadedModel | None
    answers_below: int
    paired: bool
    asks_for: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Served:
    """One model as this process serves it.

    :param state: the deployment state that it follows.
    :param loaded: the version that answers as champion, or None; an older one while the wanted one is not in memory.
    :param roles: what the state wants, by role.
    :param since: since when it is as it is.
    """

    state: ModelState
    loaded: LoadedModel | None
    since: datetime
    roles: Mapping[str, Held] = field(default_factory=dict)

    @property
    def wanted(self) -> int | None:
        """Version that the state wants as champion."""
        champion = self.state.roles.get("champion")
        return None if champion is None else champion.version

    @cached_property
    def status(self) -> Status:
        """What callers may expect.

        serving; loading, failed: nothing answers (yet); stale: an older version still answers, or the same one as
        it was before its row was changed; on demand: the first request loads it; none: no champion; retired.
        """
        if self.state.retired_at is not None:
            return "retired"
        champion = self.roles.get("champion")
        if champion is None:
            return "none"
        if self.loaded is None:
            return champion.status
        return "serving" if self.loaded.deployed.version == self.wanted and champion.error is None else "stale"

    @cached_property
    def farewell(self) -> list[tuple[bytes, bytes]]:
        """What the head of every answer says while the model is on its way out: since when, and until when at most."""
        since, until = self.state.retiring_since, self.state.retiring_until
        if since is None or until is None:
            return []
        return [
            (b"deprecation", b"@%d" % since.timestamp()),  # RFC 9745
            (b"sunset", format_datetime(until.astimezone(UTC), usegmt=True).encode()),  # RFC 8594
        ]

    def head(self, loaded: LoadedModel, role: str) -> list[tuple[bytes, bytes]]:
        """The headers of an answer that say who gave it, and that there will be no more of them."""
        return [*loaded.head(role), *self.farewell] if self.farewell else loaded.head(role)

    @cached_property
    def challenger(self) -> Challenger | None:
        """The challenger, or None."""
        role = next((role for role in CHALLENGING if role in self.roles), None)
        if role is None or self.state.retired_at is not None:
            return None
        held = self.roles[role]
        answers = role in ANSWERING and held.loaded is not None
        return Challenger(
            role=role,
            version=held.deployed.version,
            loaded=held.loaded,
            answers_below=threshold(held.deployed.share) if answers else 0,
            paired=role != "candidate",
            asks_for=_asks_for(held.loaded, self.loaded),
        )

    @cached_property
    def _fields(self) -> Mapping[str, str]:
        known: dict[str, str] = {}
        for loaded in (self.loaded, *(held.loaded for held in self.roles.values())):
            for name, kind in loaded.fields.items() if loaded is not None else ():
                known.setdefault(name, kind)
        return self.loaded.fields if self.loaded is not None and known == self.loaded.fields else known

    def fields_for(self, loaded: LoadedModel) -> Mapping[str, str]:
        """What a row may have when this version is asked: its fields, and those that only other deployed versions know.

        Callers cannot change what they send in the moment in which a version takes over that reads other columns.
        """
        known = self._fields
        if known is loaded.fields or known.keys() <= loaded.fields.keys():
            return loaded.fields
        return {**loaded.fields, **{name: kind for name, kind in known.items() if name not in loaded.fields}}

    @cached_property
    def deployment(self) -> str | None:
        """Name of the deployment under way: the challenger's."""
        held = next((self.roles[role] for role in CHALLENGING if role in self.roles), None)
        return held.deployed.deployment if held else None

    def role_of(self, version: int) -> str | None:
        """The role that a version holds, the champion's first; None if it is not in the state."""
        roles = [role for role, held in self.roles.items() if held.deployed.version == version]
        return None if not roles else "champion" if "champion" in roles else roles[0]

    @property
    def error(self) -> str | None:
        """Why the wanted champion does not answer, or None."""
        return self.roles["champion"].error if "champion" in self.roles else None

    @property
    def problem(self) -> Problem | None:
        """The kind of that error."""
        return self.roles["champion"].problem if "champion" in self.roles else None

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
            "retiring_until": until.isoformat() if (until := self.state.retiring_until) else None,
            "error": self.error,
            "problem": self.problem,
            "as_of": deployed.as_of.isoformat() if deployed else None,
            "artifact_digest": deployed.artifact_digest if deployed else None,
            "columns": self.loaded.columns if self.loaded else None,
            "entity": self.loaded.entity if self.loaded else None,
            "roles": {role: held.to_document() for role, held in self.roles.items()},
        }


def _asks_for(challenger: LoadedModel | None, champion: LoadedModel | None) -> frozenset[str]:
    if challenger is None or champion is None:
        return frozenset()
    return frozenset(challenger.columns.keys() - champion.fields.keys())


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

    @property
    def loaded(self) -> list[LoadedModel]:
        """All versions in memory that a role or an answer needs."""
        held = [one.loaded for served in self.models.values() for one in served.roles.values()]
        answering = [served.loaded for served in self.models.values()]
        return [one for one in (*answering, *held) if one is not None]

    def having(self, served: Served) -> Table:
        """The same table with one model replaced."""
        return replace(self, models={**self.models, served.state.model: served})

    @property
    def ready(self) -> bool:
        """Whether the server can be asked: the state is known, and if any model has a champion, at least one answers.

        One model that does not load takes no other out of a load balancer; ``/v2/models/{model}/ready`` is its own.
        """
        statuses = {served.status for served in self.models.values()}
        return self.known and (bool(statuses & _ANSWERS) or not statuses & {"loading", "failed"})
