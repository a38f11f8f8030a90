"""Step deploy: the registered version becomes champion, in one transaction of state and ledger."""

from __future__ import annotations

from include.steps.protocol import Document, StepCall
from include.steps.register import InputsIncomplete


def run(call: StepCall) -> Document:
    """Switch the champion to ``inputs["version"]``; naming the champion itself changes nothing.

    Inputs: ``version``, ``reason``, ``actor``; optional ``force`` (also replace a newer as-of, revive a retired model),
    ``expected_champion`` (refuse if the champion is another one; null: none) and ``evidence``.

    :returns: version, previous, ledger_id, changed.
    """
    from include.registry import outbox, state

    inputs = call.inputs
    version = inputs.get("version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise InputsIncomplete('The step deploy needs the input {"version": <number of a registered version>}.')
    done = state.switch_champion(
        call.settings,
        call.definition.model,
        version,
        actor=str(inputs.get("actor") or "airflow"),
        reason=str(inputs.get("reason") or "deployed by the step deploy"),
        evidence=inputs.get("evidence"),
        force=bool(inputs.get("force", False)),
        expected_champion=inputs.get("expected_champion", state.ANY),
    )
    outbox.deliver(call.settings, call.definition.model)
    return {
        "version": done.version,
        "previous": done.previous,
        "replaced": done.replaced if done.changed else None,
        "ledger_id": done.ledger_id,
        "changed": done.changed,
    }
