"""Step drain: the model begins to leave production; it answers on for a while, and nothing new comes in."""

from __future__ import annotations

from datetime import timedelta

from include.steps.protocol import Document, StepCall


def run(call: StepCall) -> Document:
    """Begin to retire the model; what is on its way out, or out, stays so.

    Inputs: ``reason``, ``actor``; optional ``drain_minutes`` (instead of the definition's ``retirement.drain``; it may
    shorten a drain that is under way) and ``request`` (name of the Airflow run, for the ledger).

    :returns: began_at (which names this retirement), until, version (the one that answers, or null), withdrawn (the
        challenger that left), ledger_id, changed.
    """
    from include.registry import outbox, retirement

    terms, inputs = call.definition.retirement, call.inputs
    minutes = inputs.get("drain_minutes")
    done = retirement.begin(
        call.settings,
        call.definition.model,
        actor=str(inputs.get("actor") or "airflow"),
        reason=str(inputs.get("reason") or "retired by the step drain"),
        drain=terms.drain if minutes is None else timedelta(minutes=minutes),
        quiet=terms.quiet,
        keep=terms.keep,
        shortens=minutes is not None,
        evidence={"request": inputs["request"]} if inputs.get("request") else None,
    )
    outbox.deliver(call.settings, call.definition.model)
    return {
        "began_at": done.under_way.began_at.isoformat(),
        "until": done.under_way.until.isoformat(),
        "version": done.champion,
        "withdrawn": done.withdrawn,
        "ledger_id": done.ledger_id,
        "changed": done.changed,
    }
