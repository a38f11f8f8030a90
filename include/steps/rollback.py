"""Step rollback: the previous champion answers again, and the version that is rolled back stays out."""

from __future__ import annotations

from include.steps.protocol import Document, StepCall


def run(call: StepCall) -> Document:
    """Bring the previous champion back; a challenger leaves with the champion that it was compared with.

    Inputs: ``reason``, ``actor``; optional ``to_version`` (go back to that one), ``version`` (the version to take out;
    without a previous one the model is then left without champion), ``bar`` (default true) and ``request`` (name of the
    request, such as the Airflow run's id: a retry then does not roll back a second time).

    :returns: version (champion now, or null), rolled_back, withdrawn (the challenger that left too, or alone),
        ledger_id, changed.
    """
    from include.registry import outbox, state

    inputs = call.inputs
    done = state.roll_back(
        call.settings,
        call.definition.model,
        inputs.get("to_version"),
        actor=str(inputs.get("actor") or "airflow"),
        reason=str(inputs.get("reason") or "rolled back by the step rollback"),
        bar=bool(inputs.get("bar", True)),
        version=inputs.get("version"),
        request=inputs.get("request"),
    )
    outbox.deliver(call.settings, call.definition.model)
    return {
        "version": done.version,
        "rolled_back": done.replaced if done.changed and done.replaced != done.version else None,
        "withdrawn": done.withdrawn,
        "ledger_id": done.ledger_id,
        "changed": done.changed,
    }
