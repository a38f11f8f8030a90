"""Step deploy: a registered version becomes its model's challenger, as a candidate that answers nobody yet."""

from __future__ import annotations

from datetime import UTC, datetime

from include.steps.protocol import Document, StepCall
from include.steps.rollout import Rollout


def run(call: StepCall) -> Document:
    """Enter ``inputs["version"]`` as candidate: loaded by the server, and asked only by its number.

    A version that is champion already stays what it is; the same deployment again changes nothing.

    Inputs: ``version``, ``reason``, ``actor``; optional ``deployment`` (its name: a retry is the same deployment),
    ``force`` (also against a champion with a newer as-of, and for a retired model), ``expected_champion`` (refuse if
    the champion is another one; null: none) and ``evidence``.

    :returns: version, role (candidate or champion), champion, deployment, ledger_id, changed.
    """
    from include.registry import deployed, stages
    from include.registry.plans import deadline_for, plan_for
    from include.registry.rules import ANY
    from include.registry.signing import check
    from include.registry.versions import get_version

    inputs, rollout = call.inputs, Rollout.of(call, "deploy")
    version = get_version(call.settings, rollout.model, rollout.version)
    check(call.settings, version)
    champion, now = deployed.champion(call.settings, rollout.model), datetime.now(UTC)
    done = stages.enter_stage(
        call.settings,
        rollout.model,
        rollout.version,
        role="candidate",
        plan=plan_for(
            call.definition,
            None,
            champion=champion.version if champion else None,
            started_at=now,
            threshold=version.threshold,
            champion_threshold=champion.threshold if champion else None,
        ),
        until=deadline_for(call.definition, None, entered_at=now),
        deployment=rollout.deployment,
        actor=rollout.actor,
        reason=rollout.reason,
        evidence=inputs.get("evidence"),
        force=rollout.force,
        expected_champion=inputs.get("expected_champion", ANY),
    )
    return {
        "version": done.version,
        "role": done.role,
        "champion": done.champion,
        "deployment": rollout.deployment,
        "ledger_id": done.ledger_id,
        "changed": done.changed,
    }
