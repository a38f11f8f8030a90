"""What happened in one deployment, in order: from the ledger and the judgements, both rows of the registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import select

from include.errors import Refused
from include.registry import database
from include.registry.assessments import Assessment
from include.registry.deployed import ModelState, read_state
from include.registry.ledger import LedgerEntry, history
from include.registry.roles import CHALLENGER_ROLES
from include.registry.tables import assessment
from include.registry.versions import ModelVersion, get_version
from include.settings import Settings

Ending = Literal["promoted", "out", "under way"]
# A judgement that ends a stage is written just before the ledger's row, by another transaction.
_MARGIN: Final = timedelta(seconds=2)


class NoSuchDeployment(Refused):
    """The ledger knows no deployment of this name."""

    def __init__(self, model: str, deployment: str) -> None:
        self.model = model
        self.deployment = deployment
        super().__init__(
            f"The ledger of {model} has no deployment {deployment!r}. See which there are: "
            f"python -m include.registry history {model}"
        )


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A stretch of the deployment in which nothing changed: a stage, or a wait for a person.

    :param name: the stage, such as ``canary_10``.
    :param share: part of the entities that the challenger answered, 0 to 1.
    :param left: the ledger's entry that ended it; None while it lasts.
    :param judgements: what was judged in it, oldest first.
    """

    name: str
    role: str
    share: float
    began: datetime
    left: LedgerEntry | None
    judgements: tuple[Assessment, ...]

    @property
    def ended(self) -> datetime | None:
        """When it ended; None while it lasts."""
        return self.left.at if self.left else None

    @property
    def ending(self) -> Ending | Literal["went on"]:
        """How it ended."""
        if self.left is None:
            return "under way"
        return "went on" if self.left.action == "stage" else _ending(self.left)

    @property
    def judgement(self) -> Assessment | None:
        """The last word on it."""
        return self.judgements[-1] if self.judgements else None

    @property
    def seen(self) -> Mapping[str, Any]:
        """What the last judgement had seen: requests, labels, seconds."""
        return (self.judgement.evidence.get("seen") or {}) if self.judgement else {}

    @property
    def checks(self) -> Sequence[Mapping[str, Any]]:
        """The checks of the last judgement."""
        return (self.judgement.evidence.get("checks") or []) if self.judgement else []


@dataclass(frozen=True, kw_only=True)
class Story:
    """One deployment.

    :param version: the version that was deployed.
    :param champion: the version that was champion when it began; None for a model's first.
    :param ending: promoted, out (for whatever reason), or under way.
    :param end: the ledger's entry that ended it.
    :param entries: the ledger's entries that belong to it, oldest first.
    :param registered: the version as it was registered, with its offline decision.
    :param state: what is in production now.
    """

    model: str
    deployment: str
    version: int
    champion: int | None
    ending: Ending
    end: LedgerEntry | None
    phases: tuple[Phase, ...]
    entries: tuple[LedgerEntry, ...]
    registered: ModelVersion
    state: ModelState | None
    read_at: datetime

    @property
    def began(self) -> datetime:
        """When its version became challenger."""
        return self.entries[0].at

    @property
    def ended(self) -> datetime:
        """When it ended, or when it was read."""
        return self.end.at if self.end else self.read_at

    @property
    def now_champion(self) -> int | None:
        """The champion now."""
        role = self.state.roles.get("champion") if self.state else None
        return role.version if role else None

    @property
    def approval(self) -> str | None:
        """Who approved it."""
        named = ((entry.evidence.get("approval") or {}).get("approved_by") for entry in self.entries)
        return next((str(name) for name in named if name), None)


def read_story(settings: Settings, model: str, deployment: str, *, now: datetime) -> Story:
    """Read a deployment.

    :param deployment: its name, as the ledger has it.
    :raises NoSuchDeployment: if the ledger has none of this name.
    :raises DatabaseAway: if the database cannot be reached.
    """
    ledger = history(settings, model)
    entries = [entry for entry in ledger if _belongs(entry, deployment)]
    if not entries:
        raise NoSuchDeployment(model, deployment)
    first = entries[0]
    version = first.to_version if first.action != "rollback" else first.from_version
    state = read_state(settings, model)
    if _is_going_on(entries[-1], deployment) and not _is_challenger(state, deployment):
        entries += _taken_along(ledger, entries[-1], version)
    end = None if _is_going_on(entries[-1], deployment) else entries[-1]
    return Story(
        model=model,
        deployment=deployment,
        version=int(version or 0),
        champion=first.from_version if first.action != "rollback" else first.to_version,
        ending=_ending(end),
        end=end,
        phases=tuple(_phases(entries, deployment, _judgements(settings, model, deployment))),
        entries=tuple(entries),
        registered=get_version(settings, model, int(version or 0)),
        state=state,
        read_at=now,
    )


def _belongs(entry: LedgerEntry, deployment: str) -> bool:
    return _is_own(entry, deployment) or (entry.evidence.get("replaced") or {}).get("deployment") == deployment


def _is_own(entry: LedgerEntry, deployment: str) -> bool:
    return bool(entry.evidence.get("deployment") == deployment)


def _is_going_on(entry: LedgerEntry, deployment: str) -> bool:
    return entry.action == "stage" and _is_own(entry, deployment)


def _is_challenger(state: ModelState | None, deployment: str) -> bool:
    return state is not None and state.challenger is not None and state.challenger.deployment == deployment


def _taken_along(ledger: Sequence[LedgerEntry], last: LedgerEntry, version: int | None) -> list[LedgerEntry]:
    """The change that ended a deployment without naming it: of its champion, of its version, or of the whole model."""
    for entry in ledger:
        if entry.revision > last.revision and version not in (entry.state.get(role) for role in CHALLENGER_ROLES):
            return [entry]
    return []


def _ending(end: LedgerEntry | None) -> Ending:
    if end is None:
        return "under way"
    # A promotion that takes a challenger out is another version's.
    return "promoted" if end.action == "promote" and "withdrawn" not in end.evidence else "out"


def _judgements(settings: Settings, model: str, deployment: str) -> list[Assessment]:
    query = select(assessment).where(assessment.c.model == model, assessment.c.deployment == deployment)
    with database.transaction(settings.database_url) as connection:
        return [Assessment(**row._mapping) for row in connection.execute(query.order_by(assessment.c.id))]


def _phases(entries: Sequence[LedgerEntry], deployment: str, judgements: Sequence[Assessment]) -> list[Phase]:
    phases = []
    for place, entry in enumerate(entries):
        if entry.action != "stage" or not _is_own(entry, deployment):
            continue
        left = entries[place + 1] if place + 1 < len(entries) else None
        role = next((role for role in CHALLENGER_ROLES if role in entry.state), "candidate")
        name = str(entry.evidence.get("stage") or role)
        until = left.at + _MARGIN if left else None
        own = [
            one for one in judgements if one.stage == name and one.at >= entry.at and (until is None or one.at <= until)
        ]
        phases.append(
            Phase(
                name=name,
                role=role,
                share=float(entry.shares.get(role, 0.0)),
                began=entry.at,
                left=left,
                judgements=tuple(own),
            )
        )
    return phases
