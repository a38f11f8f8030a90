"""What happens to a version after its registration, for its model card: read anew whenever somebody looks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from sqlalchemy import select

from include.errors import Refused
from include.registry import database
from include.registry.deployed import ModelState, read_state
from include.registry.ledger import LedgerEntry, history
from include.registry.results import find_checks, record_check
from include.registry.tables import check_result
from include.registry.versions import ModelVersion, get_version
from include.reports.deployment_words import instant
from include.reports.model_card import ModelCard
from include.settings import Settings

KIND: Final = "model card"
"""Kind of the check result that keeps a version's card; its subject is the version's number."""

_WATCHED: Final = {
    "drift": "Drift",
    "decay": "Quality by labels",
    "fairness gap": "Fairness",
}
"""Checks whose newest word on the version is shown; each verdict that ends its kind's name is an alarm."""

Tone = Literal["good", "warn", "bad", ""]


class NoCard(Refused):
    """The version has no card: it was registered before there were any."""

    def __init__(self, model: str, version: int) -> None:
        self.model = model
        self.version = version
        super().__init__(
            f"{model} version {version} was registered before there were model cards. Run {model}.train again as of "
            "the same instant: it finds the version again, trains nothing, and writes its card."
        )


@dataclass(frozen=True, kw_only=True)
class Event:
    """One change of the ledger that is about the version."""

    at: str
    what: str
    who: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Watched:
    """The newest word of a check on the version while it was champion."""

    name: str
    tone: Tone
    verdict: str
    reason: str
    at: str


@dataclass(frozen=True, kw_only=True)
class Approval:
    """A person's word."""

    by: str
    at: str
    note: str


@dataclass(frozen=True, kw_only=True)
class Life:
    """What has become of a version.

    :param standing: in one sentence.
    :param signer: name of the key that signed it, None if it is not signed.
    :param read_at: when all this was so.
    """

    standing: str
    tone: Tone
    signer: str | None
    approvals: tuple[Approval, ...]
    events: tuple[Event, ...]
    watched: tuple[Watched, ...]
    read_at: str


def keep_card(settings: Settings, card: ModelCard, *, page: str | None) -> None:
    """Keep a version's card where pages find it.

    :param page: path of its HTML as of registration, relative to the store.
    :raises DatabaseAway: the database cannot be reached.
    """
    record_check(
        settings,
        model=card.model,
        kind=KIND,
        stage="register",
        as_of=card.as_of,
        subject=str(card.version),
        verdict=card.verdict or "none",
        details=card.model_dump(mode="json"),
        page=page,
    )


def find_card(settings: Settings, model: str, version: int) -> ModelCard | None:
    """The card of a version as of its registration, or None if it has none.

    :raises DatabaseAway: the database cannot be reached.
    """
    kept = check_result.c
    query = (
        select(kept.details)
        .where(kept.model == model, kept.kind == KIND, kept.stage == "register", kept.subject == str(version))
        .order_by(kept.id.desc())
        .limit(1)
    )
    with database.transaction(settings.database_url) as connection:
        found = connection.execute(query).scalar_one_or_none()
    return None if found is None else ModelCard.model_validate(found)


def read_card(settings: Settings, model: str, version: int) -> tuple[ModelCard, Life]:
    """A version's card and what has become of it.

    :raises VersionUnknown: there is no such version.
    :raises NoCard: it has none.
    :raises DatabaseAway: the database cannot be reached.
    """
    registered = get_version(settings, model, version)
    card = find_card(settings, model, version)
    if card is None:
        raise NoCard(model, version)
    return card, read_life(settings, registered)


def read_life(settings: Settings, registered: ModelVersion, *, now: datetime | None = None) -> Life:
    """What has become of a version.

    :raises DatabaseAway: the database cannot be reached.
    """
    model, version = registered.model, registered.version
    ledger = history(settings, model)
    state = read_state(settings, model)
    standing, tone = _standing(registered, state, ledger)
    return Life(
        standing=standing,
        tone=tone,
        signer=registered.signer,
        approvals=tuple(_approvals(ledger, version)),
        events=tuple(_event(entry, version) for entry in ledger if _is_about(entry, version)),
        watched=tuple(_watched(settings, model, version)),
        read_at=instant(now or datetime.now(UTC)),
    )


def _standing(registered: ModelVersion, state: ModelState | None, ledger: Sequence[LedgerEntry]) -> tuple[str, Tone]:
    version = registered.version
    if registered.status == "barred":
        return f"Version {version} is barred from production", "bad"
    for role, held in (state.roles if state else {}).items():
        if held.version != version:
            continue
        since = f"since {instant(held.since)}"
        if role == "champion" and state is not None and state.retiring_until is not None:
            return (
                f"Version {version} is the champion, and the model leaves until {instant(state.retiring_until)}",
                "warn",
            )
        if role == "champion":
            return f"Version {version} is the champion {since}", "good"
        if role == "previous":
            return f"Version {version} was champion before the present one, which it would replace in a rollback", ""
        return f"Version {version} is on its way into production: {held.stage or role} {since}", "warn"
    if registered.freed_at is not None:
        return (
            f"Version {version} never answered anybody, and went with its model on {instant(registered.freed_at)}",
            "",
        )
    if registered.status == "retired":
        return f"Version {version} is retired", ""
    was = any(entry.action == "promote" and entry.to_version == version for entry in ledger)
    return f"Version {version} {'is out of production' if was else 'was never the champion'}", ""


def _is_about(entry: LedgerEntry, version: int) -> bool:
    return version in (entry.from_version, entry.to_version) or version in (
        held for role, held in entry.state.items() if role not in ("champion", "previous")
    )


_WORDS: Final = {
    "bar": "barred",
    "lift-bar": "bar lifted",
    "drain": "retirement of the model begun",
    "retire": "model retired",
    "restore": "retirement of the model undone",
    "rollback": "rolled back",
}


def _event(entry: LedgerEntry, version: int) -> Event:
    stage = entry.evidence.get("stage")
    what = _WORDS.get(entry.action, entry.action)
    if entry.action == "stage":
        share = next((entry.shares.get(role, 0.0) for role, held in entry.state.items() if held == version), 0.0)
        what = f"entered {stage or 'a stage'}" + (f", {share:.0%} of the entities" if 0 < share < 1 else "")
    elif entry.action == "promote":
        what = "became champion" if entry.to_version == version else f"replaced by version {entry.to_version}"
    elif entry.action == "rollback" and entry.to_version == version:
        what = "back in production"
    return Event(at=instant(entry.at), what=what, who=entry.actor, why=entry.reason)


def _approvals(ledger: Sequence[LedgerEntry], version: int) -> Iterator[Approval]:
    seen = set()
    for entry in ledger:
        given: dict[str, Any] = entry.evidence.get("approval") or {}
        if not given.get("approved_by") or not _is_about(entry, version):
            continue
        said = Approval(by=str(given["approved_by"]), at=str(given.get("at") or ""), note=str(given.get("note") or ""))
        if said not in seen:
            seen.add(said)
            yield said


def _watched(settings: Settings, model: str, version: int) -> Iterator[Watched]:
    for kind, name in _WATCHED.items():
        stages = set()
        for check in find_checks(settings, model, kind=kind, limit=200):
            if check.details.get("champion_version") != version or check.stage in stages:
                continue
            stages.add(check.stage)
            alarm = kind.endswith(check.verdict)
            tone: Tone = "bad" if alarm else "warn" if check.verdict.startswith("not enough") else "good"
            where = "" if kind == "drift" else {"data": ", data", "requests": ", requests"}.get(check.stage, "")
            yield Watched(
                name=f"{name}{where}",
                tone=tone,
                verdict=check.verdict,
                reason=str(check.details.get("reason") or ""),
                at=f"{check.as_of:%Y-%m-%d %H:%M}",
            )
