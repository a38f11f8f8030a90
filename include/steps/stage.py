"""Step stage: the challenger enters a stage that the definition names, such as ``shadow`` or ``canary_10``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from include.errors import Refused
from include.spec.definition import Definition
from include.spec.production import Stage
from include.steps.protocol import Document, StepCall
from include.steps.rollout import STRAIGHT, Place, Rollout, place_of

if TYPE_CHECKING:
    from include.registry.roles import ChallengerRole


class UnknownStage(Refused):
    """The definition has no such stage."""

    def __init__(self, model: str, name: object, known: list[str]) -> None:
        self.model = model
        self.name = name
        self.known = known
        shown = ", ".join(known) or "none before champion"
        super().__init__(f"{model} has no stage named {name!r} (deployment.stages in its definition: {shown}).")


def run(call: StepCall) -> Document:
    """Put the challenger into the stage ``inputs["stage"]``; a stage that it is in already goes on as it is.

    Stages are left out, with the reason in ``skipped``, when there is no champion to compare with, when the version is
    champion already, and with the input ``stages`` = ``straight to champion``.

    Inputs: ``stage``, ``version``, ``deployment``; optional ``actor``, ``reason``, ``force``, ``stages``, ``judgement``
    (output of the wait for the stage before), ``approved_by`` and ``note`` (of the person who let it go on).

    :returns: stage and skipped; or stage, role, share, version, deployment, until, ledger_id, changed.
    :raises UnknownStage: the definition has no such stage.
    :raises ChallengerGone: the version is no challenger of this deployment any more.
    """
    rollout = Rollout.of(call, "stage")
    stage = _stage(call.definition, call.inputs.get("stage"))
    if call.inputs.get("stages") == STRAIGHT:
        return {"stage": stage.name, "skipped": "it was asked to go straight to champion"}
    place = place_of(call, rollout)
    if place.role == "champion":
        return {"stage": stage.name, "skipped": f"version {rollout.version} is the champion already"}
    if place.champion is None:
        return {"stage": stage.name, "skipped": "there is no champion to compare with"}
    return _enter(call, rollout, stage, place)


def _enter(call: StepCall, rollout: Rollout, stage: Stage, place: Place) -> Document:
    from include.registry import stages
    from include.registry.plans import deadline_for, plan_for
    from include.registry.versions import get_version

    now = datetime.now(UTC)
    done = stages.enter_stage(
        call.settings,
        rollout.model,
        rollout.version,
        role=cast("ChallengerRole", stage.kind),
        share=stage.share / 100,
        plan=plan_for(
            call.definition,
            stage,
            champion=place.compared_with,
            started_at=place.started_at(now),
            threshold=place.held.threshold,
            champion_threshold=get_version(call.settings, rollout.model, place.compared_with).threshold
            if place.compared_with is not None
            else None,
        ),
        until=deadline_for(call.definition, stage, entered_at=now),
        deployment=rollout.deployment,
        actor=rollout.signed_by(place),
        reason=rollout.because(f"enters {stage.name}"),
        evidence=rollout.evidence(),
        force=rollout.force,
    )
    held = place_of(call, rollout).held
    return {
        "stage": stage.name,
        "role": stage.kind,
        "share": stage.share / 100,
        "version": rollout.version,
        "deployment": rollout.deployment,
        "until": held.until.isoformat() if held.until else None,
        "ledger_id": done.ledger_id,
        "changed": done.changed,
    }


def _stage(definition: Definition, name: object) -> Stage:
    known = {stage.name: stage for stage in definition.deployment.stages if stage.kind != "champion"}
    if not isinstance(name, str) or name not in known:
        raise UnknownStage(definition.model, name, list(known))
    return known[name]
