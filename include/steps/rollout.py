"""What the steps of one deployment share: who acts on which version, and whether that one is still a challenger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from include.errors import Refused
from include.registry.roles import APPROVAL
from include.steps.protocol import StepCall
from include.steps.register import InputsIncomplete

if TYPE_CHECKING:
    from include.registry.deployed import DeployedVersion

AS_DEFINED: Final = "as defined"
"""Value of the input ``stages``: all that the definition names."""
STRAIGHT: Final = "straight to champion"
"""Value of the input ``stages`` that leaves out shadow, canary and A/B, but neither verification nor approval."""


class ChallengerGone(Refused):
    """The version is no challenger of this deployment (any more); carries the ledger's reason."""

    def __init__(self, model: str, version: int, reason: str) -> None:
        self.model = model
        self.version = version
        self.reason = reason
        super().__init__(f"{reason}. The whole story: python -m include.registry history {model}")


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """One step of a deployment.

    :param version: the version that is deployed.
    :param deployment: name of the deployment, the same in all its steps and in all their tries.
    :param approval: who approved it, with a note; empty if nobody did.
    :param judgement: output of the sensor on the stage before; empty if there was none.
    """

    model: str
    version: int
    deployment: str
    actor: str
    reason: str
    force: bool
    approval: Mapping[str, Any]
    judgement: Mapping[str, Any]

    @classmethod
    def of(cls, call: StepCall, step: str) -> Rollout:
        """Read a step's inputs.

        Inputs: ``version``; optional ``deployment``, ``actor``, ``reason``, ``force``, ``approved_by``, ``note``,
        ``judgement``.

        :raises InputsIncomplete: there is no version.
        """
        inputs, model = call.inputs, call.definition.model
        version = inputs.get("version")
        if not isinstance(version, int) or isinstance(version, bool):
            raise InputsIncomplete(f'The step {step} needs the input {{"version": <number of a registered version>}}.')
        approved_by = str(inputs.get("approved_by") or "")
        return cls(
            model=model,
            version=version,
            deployment=str(inputs.get("deployment") or _deployment_under_way(call, version)),
            actor=str(inputs.get("actor") or "airflow"),
            reason=str(inputs.get("reason") or f"deployed by the step {step}"),
            force=bool(inputs.get("force", False)),
            approval={"approved_by": approved_by, "note": str(inputs.get("note") or "")} if approved_by else {},
            judgement=inputs.get("judgement") or {},
        )

    def signed_by(self, place: Place) -> str:
        """Who acts: the person who approved, if this is what they approved, else the run's actor."""
        approver = str(self.approval.get("approved_by") or "")
        return approver if approver and place.held.stage == APPROVAL else self.actor

    def because(self, what: str) -> str:
        """The ledger's reason: what is done, why the stage before ended well, who approved it, why all this."""
        parts = [what]
        if self.judgement.get("verdict") == "advance":
            parts.append(f"{self.judgement['stage']} ended well: {self.judgement['reason']}")
        if self.approval:
            note = f" ({self.approval['note']})" if self.approval["note"] else ""
            parts.append(f"approved by {self.approval['approved_by']}{note}")
        return "; ".join([*parts, self.reason])[:1000]

    def evidence(self) -> dict[str, Any]:
        """What the ledger keeps besides: the judgement of the stage before and the approval."""
        judged = {"judgement": dict(self.judgement)} if self.judgement else {}
        return {**judged, **({"approval": dict(self.approval)} if self.approval else {})}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the version stands.

    :param held: the version in its role: as challenger of this deployment, or as champion.
    :param champion: the champion, which may be the version itself.
    """

    role: Literal["challenger", "champion"]
    held: DeployedVersion
    champion: DeployedVersion | None

    @property
    def compared_with(self) -> int | None:
        """The champion that the deployment began with."""
        began_with: int | None = self.held.plan.get("champion")
        return began_with

    def started_at(self, now: datetime) -> datetime:
        """When the deployment's first stage began: evidence counts from then on."""
        known = self.held.plan.get("started_at")
        return now if known is None or self.held.role == "candidate" else datetime.fromisoformat(known)


def place_of(call: StepCall, rollout: Rollout) -> Place:
    """Where the version stands now.

    :raises ChallengerGone: it is neither champion nor challenger of this deployment.
    :raises DatabaseAway: the database cannot be reached.
    """
    from include.registry.deployed import read_state
    from include.steps.progress import departure

    state = read_state(call.settings, rollout.model)
    champion = state.roles.get("champion") if state else None
    challenger = state.challenger if state else None
    if champion is not None and champion.version == rollout.version:
        return Place(role="champion", held=champion, champion=champion)
    if challenger is not None and (challenger.version, challenger.deployment) == (rollout.version, rollout.deployment):
        return Place(role="challenger", held=challenger, champion=champion)
    raise ChallengerGone(rollout.model, rollout.version, departure(call.settings, rollout.model, rollout.version))


def _deployment_under_way(call: StepCall, version: int) -> str:
    """The deployment that a step by hand belongs to: that of the version if it is challenger, else a new one."""
    from include.registry.deployed import challenger

    found = challenger(call.settings, call.definition.model)
    if found is not None and found.version == version and found.deployment:
        return found.deployment
    return f"by hand/{call.attempt}"
