"""Step withdraw: the end of a deployment that did not go well. It takes the challenger out if it is still in."""

from __future__ import annotations

from collections.abc import Sequence

from include.errors import NothingToDo, Refused
from include.steps.deployment_pages import report_deployment
from include.steps.protocol import Document, StepCall
from include.steps.rollout import ChallengerGone, Rollout, place_of


class NotDeployed(Refused):
    """The deployment has ended and its version is not the champion; says why in one sentence."""

    def __init__(self, model: str, version: int, reason: str, page: str | None = None) -> None:
        self.model = model
        self.version = version
        self.reason = reason
        self.page = page
        shown = f", and on the page {page} in the store" if page else ""
        super().__init__(
            f"{model} version {version} was not deployed: {reason}. "
            f"The evidence is in the ledger: python -m include.registry history {model}{shown}"
        )


def run(call: StepCall) -> Document:
    """Take the challenger ``inputs["version"]`` out, unless it is champion or out already; never returns.

    Inputs: ``version``, ``deployment``; optional ``actor``, ``failed`` (names of the run's tasks that failed),
    ``rejection`` (a person's no, as a sentence: the version is then barred) and ``rejected_by``.

    :raises NothingToDo: the version is champion and nothing has failed.
    :raises NotDeployed: in all other cases.
    """
    from include.registry import stages

    rollout = Rollout.of(call, "withdraw")
    failed = call.inputs.get("failed") or []
    try:
        place = place_of(call, rollout)
    except ChallengerGone as gone:
        page = report_deployment(call, rollout)
        raise NotDeployed(rollout.model, rollout.version, gone.reason, page) from None
    if place.role == "champion":
        _leave_champion(rollout, failed)
    rejection = str(call.inputs.get("rejection") or "")
    reason = rejection or _reason(failed)
    stages.withdraw(
        call.settings,
        rollout.model,
        rollout.version,
        deployment=rollout.deployment,
        actor=str(call.inputs.get("rejected_by") or rollout.actor),
        reason=reason[:1000],
        evidence={"failed_tasks": list(failed)},
        # Only a person's no says something about the version: Airflow's own failures do not.
        bar=bool(rejection),
    )
    raise NotDeployed(rollout.model, rollout.version, reason, report_deployment(call, rollout))


def _leave_champion(rollout: Rollout, failed: Sequence[str]) -> None:
    """
    :raises NothingToDo: all is well.
    :raises Refused: it is champion, but something failed on the way.
    """
    words = f"{rollout.model} version {rollout.version} is the champion"
    if failed:
        raise Refused(f"{words}, but {', '.join(failed)} failed: look at the log there, and clear what failed.")
    raise NothingToDo(f"{words}: nothing to withdraw.")


def _reason(failed: Sequence[str]) -> str:
    if failed:
        return f"its deployment stopped: {', '.join(failed)} failed"
    return "its deployment was stopped before the version was promoted"
