"""The roles of a version in production, and what a version in such a role carries with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

ChallengerRole = Literal["candidate", "shadow", "canary", "ab"]

#: A model has at most one version in one of these. ``candidate`` answers only who asks for it by its number,
#: ``shadow`` is scored on all requests and answers nobody, ``canary`` and ``ab`` answer their share.
CHALLENGER_ROLES: Final[tuple[ChallengerRole, ...]] = ("candidate", "shadow", "canary", "ab")
#: The challenger roles in which requests reach the version, so that evidence comes in.
JUDGED_ROLES: Final = ("shadow", "canary", "ab")
#: Name of the stage in which a challenger is held until a person has decided.
APPROVAL: Final = "approval"
#: Key in the plan of a candidate that was forced upon a retired model.
WAS_RETIRED: Final = "was_retired"


@dataclass(frozen=True, kw_only=True)
class Held:
    """A version that holds a role.

    :param share: part of the entities that it answers, 0 to 1.
    :param since: when it took the role with this share.
    :param plan: what the stage asks for (:mod:`include.registry.plans`); empty for champion and previous.
    :param until: deadline of the stage; None if it has none.
    :param deployment: name of the deployment that put it there; None for champion and previous.
    """

    version: int
    share: float
    since: datetime | None = None
    plan: Mapping[str, Any] = field(default_factory=dict)
    until: datetime | None = None
    deployment: str | None = None

    @property
    def stage(self) -> str | None:
        """Name of its stage, such as ``canary_10``."""
        name = self.plan.get("stage")
        return None if name is None else str(name)


def share_of(role: str) -> float:
    """The share of a role that has no stage: the champion answers everything that no challenger does."""
    return 1.0 if role == "champion" else 0.0
