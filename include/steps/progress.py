"""How far a deployment has come: one cheap look at the registry, which Airflow's triggerer can afford every second.

Imports nothing but the registry, and that only when it looks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from include.settings import Settings

if TYPE_CHECKING:
    from include.registry.ledger import LedgerEntry

GRACE: Final = timedelta(seconds=60)
"""After a stage's deadline the server has this long to withdraw the challenger itself."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a look found.

    :param state: ``waiting``: the stage goes on; ``advance``: it ended well; ``champion``: the version is in production
        already; ``gone``: it is no challenger of this deployment any more; ``late``: the stage's deadline and
        :data:`GRACE` have passed and it is still there.
    :param reason: why, in a sentence.
    :param until: the stage's deadline, if it has one.
    :param evidence: what the newest judgement was made from.
    """

    state: Literal["waiting", "advance", "champion", "gone", "late"]
    reason: str
    until: datetime | None = None
    evidence: dict[str, Any] = field(default_factory=dict)


def look(settings: Settings, model: str, version: int, *, deployment: str, stage: str | None = None) -> Progress:
    """See how a challenger does.

    :param deployment: name of the deployment that it belongs to.
    :param stage: the stage whose end is waited for; None: only whether the challenger is still there.
    :raises DatabaseAway: the database cannot be reached.
    """
    from include.registry.assessments import newest_assessment
    from include.registry.deployed import read_state

    found = read_state(settings, model)
    champion = found.roles.get("champion") if found else None
    challenger = found.challenger if found else None
    if champion is not None and champion.version == version:
        return Progress(state="champion", reason=f"{model} version {version} is the champion")
    if challenger is None or (challenger.version, challenger.deployment) != (version, deployment):
        return Progress(state="gone", reason=departure(settings, model, version))
    judged = newest_assessment(settings, model, deployment=deployment, stage=stage) if stage else None
    if judged is not None and judged.at < challenger.since:
        judged = None  # of an earlier visit to a stage of this name
    reason = judged.reason if judged else "nothing has been judged yet"
    evidence = dict(judged.evidence) if judged else {}
    if judged is not None and judged.verdict == "advance":
        return Progress(state="advance", reason=reason, until=challenger.until, evidence=evidence)
    is_late = challenger.until is not None and datetime.now(UTC) > challenger.until + GRACE
    return Progress(state="late" if is_late else "waiting", reason=reason, until=challenger.until, evidence=evidence)


def departure(settings: Settings, model: str, version: int) -> str:
    """Why a version is neither challenger nor champion any more, in the ledger's words.

    :raises DatabaseAway: the database cannot be reached.
    """
    from include.registry.ledger import history

    left = _left_with(history(settings, model), version)
    if left is None:
        return f"{model} version {version} has not become a challenger"
    when = left.at.astimezone(UTC).isoformat(timespec="seconds")
    return f"{model} version {version} is out: {left.reason} ({left.actor}, {when})"


def _left_with(entries: list[LedgerEntry], version: int) -> LedgerEntry | None:
    """The newest entry with which a version lost its place as challenger or champion."""
    left = None
    was_in = False
    for entry in entries:
        is_in = version in (held for role, held in entry.state.items() if role != "previous")
        if was_in and not is_in:
            left = entry
        was_in = is_in
    return left
