"""Step ask: what a person needs to know to decide on a challenger, which is held where it is until then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, cast

from include.errors import NothingToDo
from include.registry.roles import APPROVAL
from include.steps.protocol import Document, StepCall
from include.steps.rollout import Place, Rollout, place_of

if TYPE_CHECKING:
    from include.registry.roles import ChallengerRole
    from include.registry.versions import ModelVersion

PATIENCE: Final = timedelta(days=3)
"""How long a person may take: over a weekend. After that the challenger is withdrawn."""


def run(call: StepCall) -> Document:
    """Write the question about ``inputs["version"]``, and give the challenger :data:`PATIENCE` where it is.

    A challenger in shadow stays there: the server goes on judging it while the person thinks.

    Inputs: ``version``, ``deployment``; optional ``actor``, ``reason``, ``judgement`` (of the stage before) and
    ``verified`` (output of the step verify).

    :returns: subject, body (Markdown), version, deployment, until.
    :raises NothingToDo: the version is champion already; an open question would only hold up later deployments.
    :raises ChallengerGone: the version is no challenger of this deployment any more.
    """
    from include.registry.versions import get_version

    rollout = Rollout.of(call, "ask")
    place = place_of(call, rollout)
    if place.role == "champion":
        raise NothingToDo(
            f"{rollout.model} version {rollout.version} is the champion already: there is nothing to ask."
        )
    _hold(call, rollout, place)
    until = place_of(call, rollout).held.until
    version = get_version(call.settings, rollout.model, rollout.version)
    champion = None if place.champion is None else place.champion.version
    against = "the first champion" if champion is None else f"in place of version {champion}"
    return {
        "subject": f"Deploy {rollout.model} version {rollout.version}, {against}?",
        "body": "\n".join(_body(call, rollout, version, champion)),
        "version": rollout.version,
        "deployment": rollout.deployment,
        "until": until.isoformat() if until else None,
    }


def _hold(call: StepCall, rollout: Rollout, place: Place) -> None:
    from include.registry import stages

    now = datetime.now(UTC)
    stages.enter_stage(
        call.settings,
        rollout.model,
        rollout.version,
        role=cast("ChallengerRole", place.held.role),
        share=place.held.share,
        plan={**place.held.plan, "stage": APPROVAL},
        until=now + PATIENCE,
        deployment=rollout.deployment,
        actor=rollout.actor,
        reason=rollout.because("waits for approval"),
        evidence=rollout.evidence(),
        force=rollout.force,
    )


def _body(call: StepCall, rollout: Rollout, version: ModelVersion, champion: int | None) -> Iterator[str]:
    yield f"**{call.definition.description}** {rollout.reason}"
    yield ""
    yield f"- Version {version.version}, trained as of {version.as_of.isoformat()}; MLflow run `{version.run_id}`"
    if champion is not None:
        from include.registry.versions import get_version

        known = get_version(call.settings, rollout.model, champion)
        yield f"- Champion now: version {champion}, trained as of {known.as_of.isoformat()}"
    verified = call.inputs.get("verified") or {}
    if verified:
        yield f"- Verified on the live server: {verified.get('rows')} holdout rows, all answers equal"
    yield from _card(call, version)
    yield from _gates(version.decision)
    yield from _judgement(rollout.judgement)
    yield ""
    yield (
        "**Approve**: it goes on, and begins to answer requests. **Reject**: it is withdrawn and barred. Without an "
        f"answer in {PATIENCE.days} days it is withdrawn."
    )


def _card(call: StepCall, version: ModelVersion) -> Iterator[str]:
    """What its model card says first; nothing of a version that has none."""
    from include.reports.model_card_life import find_card
    from include.reports.model_card_page import summary_of

    card = find_card(call.settings, version.model, version.version)
    if card is not None:
        yield summary_of(card)


def _gates(decision: Mapping[str, Any]) -> Iterator[str]:
    """The offline comparison, as the training's decision kept it."""
    gates = decision.get("gates") or []
    if not gates:
        return
    yield from ("", "| gate on the holdout | outcome |", "|---|---|")
    for gate in gates:
        yield f"| {gate['gate']} | {str(gate.get('sentence', '')).removeprefix(gate['gate'] + ': ')} |"


def _judgement(judgement: Mapping[str, Any]) -> Iterator[str]:
    """What the stage before showed."""
    if not judgement:
        return
    yield from ("", f"**{judgement['stage']}**: {judgement['reason']}")
    checks = (judgement.get("evidence") or {}).get("checks") or []
    if checks:
        yield from ("", "| check | value | bound | passed |", "|---|---|---|---|")
    for check in checks:
        passed = "yes" if check.get("passed") else "no"
        yield f"| {check.get('check')} | {_number(check.get('value'))} | {_number(check.get('bound'))} | {passed} |"


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str("–" if value is None else value)
