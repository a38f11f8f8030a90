"""Step train: a reproducible model, logged to MLflow; what was trained before is not trained again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from include.errors import NoriaError
from include.steps.protocol import Document, StepCall


class NoTrainingSet(NoriaError):
    """The step was started without the output of the step assemble."""

    def __init__(self) -> None:
        super().__init__('The step train needs the input {"training_set": <output of the step assemble>}.')


def run(call: StepCall) -> Document:
    """Train on ``inputs["training_set"]``, or return what an equal training gave.

    :returns: fingerprint, run, model address and digest, predictions, and the version (with its status) if this
        fingerprint is registered; a barred version stays barred.
    """
    # Threads that wait asleep: on shared cores XGBoost's spinning ones cost tens of times the work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from include.registry.versions import find_by_fingerprint
    from include.training.run import find_equal, prepare_job, train_and_log
    from include.training.tracking import Tracker

    job = prepare_job(call.settings, call.definition, call.as_of, _training_set(call.inputs))
    tracker = Tracker(call.settings.tracking_url)
    registered = find_by_fingerprint(call.settings, call.definition.model, job.fingerprint.value)
    output = find_equal(job, tracker, registered.run_id if registered else None) or train_and_log(job, tracker)
    if registered is not None:
        output |= {"version": registered.version, "version_status": registered.status}
    return output


def _training_set(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = inputs.get("training_set")
    if not isinstance(reference, Mapping):
        raise NoTrainingSet
    return reference
