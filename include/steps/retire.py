"""Step retire: the model leaves production; versions, runs and history stay."""

from __future__ import annotations

from include.steps.protocol import Document, StepCall


def run(call: StepCall) -> Document:
    """Take the model out of production. Inputs: ``reason``, ``actor``.

    :returns: version (the one that was champion, or null), ledger_id, changed.
    """
    from include.registry import outbox, state

    done = state.retire(
        call.settings,
        call.definition.model,
        actor=str(call.inputs.get("actor") or "airflow"),
        reason=str(call.inputs.get("reason") or "retired by the step retire"),
    )
    outbox.deliver(call.settings, call.definition.model)
    return {
        "version": done.replaced if done.changed else None,
        "ledger_id": done.ledger_id,
        "changed": done.changed,
    }
