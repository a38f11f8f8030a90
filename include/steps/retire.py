"""Step retire: the model leaves production; versions, runs and history stay."""

from __future__ import annotations

from datetime import datetime

from include.errors import NothingToDo
from include.steps.protocol import Document, StepCall


class RetirementUndone(NothingToDo):
    """A person has brought the model back since the drain began, so it stays in production."""

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(f"{model} stays in production: its retirement was undone. The ledger says by whom and why.")


def run(call: StepCall) -> Document:
    """Take the model out of production.

    Inputs: ``reason``, ``actor``; optional ``drained`` (output of the step drain: only this retirement is finished;
    without it the model leaves at once) and ``request`` (name of the Airflow run, for the ledger).

    :returns: version (the one that was champion, or null), began_at, restorable_until, ledger_id, changed.
    :raises RetirementUndone: the retirement that drained was undone.
    """
    from include.registry import outbox, retirement

    inputs, model = call.inputs, call.definition.model
    drained = inputs.get("drained")
    began = None if drained is None else datetime.fromisoformat(drained["began_at"])
    done = retirement.retire(
        call.settings,
        model,
        actor=str(inputs.get("actor") or "airflow"),
        reason=str(inputs.get("reason") or "retired by the step retire"),
        began=began,
        keep=call.definition.retirement.keep,
        evidence={"request": inputs["request"]} if inputs.get("request") else None,
    )
    under_way = done.retirement
    if under_way is None or under_way.restorable_until is None or (began is not None and under_way.began_at != began):
        raise RetirementUndone(model)
    outbox.deliver(call.settings, model)
    return {
        "version": done.was if done.changed else None,
        "began_at": under_way.began_at.isoformat(),
        "restorable_until": under_way.restorable_until.isoformat(),
        "ledger_id": done.ledger_id,
        "changed": done.changed,
    }
