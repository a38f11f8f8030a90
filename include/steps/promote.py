"""Step promote: the challenger becomes champion, in one transaction, and the server answers with it by default."""

from __future__ import annotations

import logging

from include.steps.deployment_pages import report_deployment
from include.steps.protocol import Document, StepCall
from include.steps.rollout import Rollout, place_of

WAIT_SECONDS = 10.0
_log = logging.getLogger(__name__)


def run(call: StepCall) -> Document:
    """Make the challenger ``inputs["version"]`` the champion; the champion until now becomes ``previous``.

    A version that is champion already changes nothing. Then waits for the server to answer with it; a server that does
    not in time changes nothing about the promotion.

    Inputs: ``version``, ``deployment``; optional ``actor``, ``reason``, ``force``, ``judgement``, ``approved_by``,
    ``note`` and ``wait_seconds`` (default 10).

    :returns: version, previous, replaced, ledger_id, changed, answering, page (of the deployment; null without one).
    :raises ChallengerGone: the version is no challenger of this deployment any more.
    :raises StateChanged: the champion is not the one that the deployment began with.
    """
    from include.registry import outbox, stages

    rollout = Rollout.of(call, "promote")
    place = place_of(call, rollout)
    done = stages.promote_challenger(
        call.settings,
        rollout.model,
        rollout.version,
        deployment=rollout.deployment,
        actor=rollout.signed_by(place),
        reason=rollout.because("becomes champion"),
        evidence=rollout.evidence(),
        force=rollout.force,
    )
    outbox.deliver(call.settings, rollout.model)
    return {
        "version": done.version,
        "previous": done.previous,
        "replaced": done.replaced if done.changed else None,
        "ledger_id": done.ledger_id,
        "changed": done.changed,
        "answering": _is_answering(call, rollout),
        "page": report_deployment(call, rollout),
    }


def _is_answering(call: StepCall, rollout: Rollout) -> bool:
    """Whether every replica of the server answers with the version in time."""
    from include.serving.replicas import LiveServers
    from include.serving.verification import ServerUnreachable, VersionNotServed

    settings = call.settings
    seconds = float(call.inputs.get("wait_seconds", WAIT_SECONDS))
    servers = LiveServers(settings.server_url, rollout.model, seconds=seconds, token=settings.server_token)
    try:
        servers.wait_for(rollout.version, role="champion")
    except (ServerUnreachable, VersionNotServed) as problem:
        _log.warning("version %d is champion, but the server does not say so yet: %s", rollout.version, problem)
        return False
    return True
