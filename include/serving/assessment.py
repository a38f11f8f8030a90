"""The judge on duty: reads what was seen of a challenger, records the judgement, and takes it out when it hurts.

Runs every other second in the server's background process, and as the step ``assess``; both at once do no harm, since a
challenger is taken out once and a judgement is recorded once. Airflow is not needed for any of it.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from include.errors import NoriaError
from include.evaluation.live_evidence import LiveEvidence, Rules
from include.lake.table import LakeTable
from include.registry.assessments import record_if_news
from include.registry.deployed import DeployedVersion, challenger
from include.registry.roles import APPROVAL, JUDGED_ROLES
from include.registry.stages import withdraw
from include.settings import Settings

if TYPE_CHECKING:
    from include.evaluation.live import Judgement

ACTOR: Final = "noria server"
#: A judgement that says nothing new is recorded this often.
RECORD_EVERY: Final = timedelta(seconds=10)
#: Reading evidence may take this part of a processor: after a read of more than so many seconds the next one waits.
_BUSY: Final = 0.05
_SLOW_SECONDS: Final = 0.05
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Read:
    """Evidence as it was read last: kept while the tables stay as they are."""

    stage: tuple[object, ...]
    tables: tuple[int, int]
    evidence: LiveEvidence
    resume: float


_reads: dict[tuple[Settings, str], _Read] = {}


def assess(settings: Settings, model: str, *, now: datetime | None = None) -> Judgement | None:
    """Judge the model's challenger by what is known now, and act on it; None if it has none.

    Rolled back: the challenger is taken out and barred, the ledger has the numbers. Past its stage's deadline it is
    taken out without a bar, since nothing speaks against it but that it could not be proven. A ``candidate`` has only
    its deadline. Otherwise the judgement is recorded and nothing else: the deployment looks there and goes on.

    :param now: with time zone; the time of the call if left out.
    :raises DatabaseAway: the database cannot be reached; nothing was changed.
    """
    now = now or datetime.now(UTC)
    deployed = challenger(settings, model)
    if deployed is None:
        _reads.pop((settings, model), None)
        return None
    judgement = _judgement(settings, deployed, now)
    late = deployed.until is not None and now >= deployed.until
    if judgement.verdict == "rollback":
        return _take_out(settings, deployed, judgement, f"{_where(deployed)}: {judgement.reason}", bar=True)
    if late:
        return _take_out(settings, deployed, judgement, _timed_out(deployed, judgement), bar=False, timed_out=True)
    _record(settings, deployed, judgement)
    return judgement


def _judgement(settings: Settings, deployed: DeployedVersion, now: datetime) -> Judgement:
    from include.evaluation.live import Judgement, judge

    if deployed.role not in JUDGED_ROLES:
        return Judgement("wait", "it is a candidate: it is being verified, or about to enter its first stage")
    try:
        return judge(_evidence(settings, deployed, now), Rules.of(deployed.plan))
    except NoriaError as error:
        return Judgement("wait", f"it cannot be judged now: {error}")
    except Exception as error:  # noqa: BLE001 - a deadline must be kept whatever is wrong with the log
        _log.exception("the challenger of %s cannot be judged", deployed.model)
        return Judgement("wait", f"it cannot be judged: {type(error).__name__}: {error}")


def _evidence(settings: Settings, deployed: DeployedVersion, now: datetime) -> LiveEvidence:
    """The evidence of now; read again only if the log has grown, and not all the time if that takes long."""
    from include.serving.evidence import read_evidence

    key = (settings, deployed.model)
    stage = (deployed.version, deployed.deployment, deployed.role, deployed.since)
    kept = _reads.get(key)
    if kept is not None and kept.stage == stage:
        same = time.monotonic() < kept.resume or kept.tables == _versions(settings, deployed.model)
        if same:
            return replace(kept.evidence, elapsed_s=(now - deployed.since).total_seconds())
    began, worked = time.monotonic(), time.thread_time()
    tables = _versions(settings, deployed.model)
    evidence = read_evidence(settings, deployed, now=now)
    took = time.thread_time() - worked
    _reads[key] = _Read(stage, tables, evidence, began + took / _BUSY if took > _SLOW_SECONDS else began)
    return evidence


def _versions(settings: Settings, model: str) -> tuple[int, int]:
    tables = (LakeTable(settings, model, name) for name in ("inference", "feedback"))
    first, second = (table.version() if table.exists() else -1 for table in tables)
    return first, second


def _take_out(
    settings: Settings,
    deployed: DeployedVersion,
    judgement: Judgement,
    reason: str,
    *,
    bar: bool,
    timed_out: bool = False,
) -> Judgement:
    evidence = {"judgement": judgement.to_document(), **({"timed_out": True} if timed_out else {})}
    done = withdraw(
        settings, deployed.model, deployed.version, deployment=deployed.deployment, stage=deployed.stage,
        actor=ACTOR, reason=reason, evidence=evidence, bar=bar,
    )  # fmt: skip
    final = replace(judgement, verdict="rollback", reason=reason)
    if done.changed:
        _log.warning("%s version %s is taken out: %s", deployed.model, deployed.version, reason)
        _record(settings, deployed, final)
    return final


def _record(settings: Settings, deployed: DeployedVersion, judgement: Judgement) -> None:
    record_if_news(
        settings,
        deployed.model,
        version=deployed.version,
        deployment=deployed.deployment or "",
        stage=deployed.stage or deployed.role,
        verdict=judgement.verdict,
        reason=judgement.reason,
        evidence=judgement.to_document(),
        since=deployed.since,
        every=RECORD_EVERY,
    )


def _where(deployed: DeployedVersion) -> str:
    return f"rolled back in the stage {deployed.stage or deployed.role}"


def _timed_out(deployed: DeployedVersion, judgement: Judgement) -> str:
    stage = deployed.stage or deployed.role
    until = deployed.until.astimezone(UTC).isoformat(timespec="seconds") if deployed.until else "?"
    if deployed.stage == APPROVAL:
        missing = "nobody has approved or rejected it; deploy it again to ask again"
    elif judgement.verdict == "advance":
        missing = (
            f"the evidence was complete ({judgement.reason}), but the deployment did not go on; is Airflow running?"
        )
    else:
        missing = judgement.reason
    return f"the stage {stage} timed out at {until}: {missing}"
