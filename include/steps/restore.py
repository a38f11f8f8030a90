"""Step restore: a retirement is undone; the model answers on, or is in production again as it was."""

from __future__ import annotations

from include.steps.protocol import Document, StepCall


def run(call: StepCall) -> Document:
    """Bring the model back.

    Inputs: ``reason``, ``actor``; optional ``request`` (name of the Airflow run, for the ledger).

    :returns: version (champion now, or null), was_out (whether it had left production), ledger_id.
    :raises NothingRetired: there is no retirement to undo.
    :raises RestoredTooLate: the time for it is over.
    :raises VersionBarred: the former champion was barred since.
    """
    from include.registry import outbox, retirement

    inputs, model = call.inputs, call.definition.model
    done = retirement.restore(
        call.settings,
        model,
        actor=str(inputs.get("actor") or "airflow"),
        reason=str(inputs.get("reason") or "brought back by the step restore"),
        evidence={"request": inputs["request"]} if inputs.get("request") else None,
    )
    outbox.deliver(call.settings, model)
    return {"version": done.champion, "was_out": done.was is None, "ledger_id": done.ledger_id}
