"""Step assess: what is known of the challenger by now, and what follows from it."""

from __future__ import annotations

from include.errors import NothingToDo
from include.steps.protocol import Document, StepCall


def run(call: StepCall) -> Document:
    """Judge the model's challenger as the server's background process does, and act on it in the same way.

    Inputs: optional ``version`` (only if the challenger is this version).

    :returns: version, stage, deployment, verdict (``wait``, ``advance``, ``rollback``), reason, checks, seen.
    :raises NothingToDo: the model has no challenger, or another one.
    """
    from include.registry import outbox
    from include.registry.deployed import challenger
    from include.serving.assessment import assess

    model, version = call.definition.model, call.inputs.get("version")
    deployed = challenger(call.settings, model)
    if deployed is None or version not in {None, deployed.version}:
        found = "none" if deployed is None else f"version {deployed.version}"
        raise NothingToDo(f"There is nothing to assess: {model}'s challenger is {found}.")
    judgement = assess(call.settings, model)
    if judgement is None:
        raise NothingToDo(f"There is nothing to assess: {model}'s challenger has just left.")
    if judgement.verdict == "rollback":
        outbox.deliver(call.settings, model)
    return {
        "version": deployed.version,
        "stage": deployed.stage,
        "deployment": deployed.deployment,
        **judgement.to_document(),
    }
