"""Step register: one version in MLflow and one row here, with what it was made from and what was decided."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.errors import Refused
from include.registry.version_tags import made_from
from include.steps.model_cards import make_model_card
from include.steps.protocol import Document, StepCall

_NEEDED = ("fingerprint", "run_id", "model_uri", "artifact_digest")


class InputsIncomplete(Refused):
    """The step was started without what it works on."""


def run(call: StepCall) -> Document:
    """Register ``inputs["training"]`` (output of train) with ``inputs["decision"]`` (output of decide); make its card.

    :returns: version, whether it was registered before, and its status (registered, barred, retired).
    """
    from include.registry.versions import register_version

    training = _training(call.inputs)
    training_set = training.get("training_set") or {}
    evaluation = call.inputs.get("evaluation") or {}
    outcome = register_version(
        call.settings,
        call.definition.model,
        fingerprint=training["fingerprint"],
        run_id=training["run_id"],
        as_of=call.as_of,
        artifact_digest=training["artifact_digest"],
        model_uri=training["model_uri"],
        windows=training_set.get("windows"),
        decision=call.inputs.get("decision"),
        tags=made_from(training_set, evaluation),
    )
    make_model_card(call, outcome.version, training)
    return {"version": outcome.version.version, "reused": outcome.reused, "status": outcome.version.status}


def _training(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    training = inputs.get("training")
    missing = [key for key in _NEEDED if not isinstance(training, Mapping) or not training.get(key)]
    if missing or not isinstance(training, Mapping):
        raise InputsIncomplete(
            f"The step register needs inputs.training with {', '.join(missing)}: give it the whole output of train."
        )
    return training
