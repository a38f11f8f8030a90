"""Step train: a reproducible model, logged to MLflow, and its holdout predictions, staged for the gate.

What was trained before is not trained again; its predictions are staged all the same.
"""

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

    :returns: fingerprint, run, model address and digest, predictions, ``staged`` (reference of their manifest), and
        the version (with its status) if this fingerprint is registered; a barred version stays barred.
    :raises SuiteError: if the predictions suite cannot be read; known before anything is trained.
    """
    # Threads that wait asleep: on shared cores XGBoost's spinning ones cost tens of times the work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from include.engines.engine import open_engine
    from include.gates.suite import load_suite
    from include.registry.versions import find_by_fingerprint
    from include.training.predictions import stage_predictions
    from include.training.run import find_equal, prepare_job, train_and_log
    from include.training.tracking import Tracker

    settings, model = call.settings, call.definition.model
    training_set = _training_set(call.inputs)
    suite = load_suite(settings, model, "predictions")
    tracker = Tracker(settings.tracking_url)
    with open_engine(settings, call.definition) as engine:
        job = prepare_job(settings, call.definition, call.as_of, training_set, engine.machines)
        registered = find_by_fingerprint(settings, model, job.fingerprint.value)
        output = find_equal(job, tracker, registered.run_id if registered else None) or train_and_log(job, tracker)
    if registered is not None:
        output |= {"version": registered.version, "version_status": registered.status}
    staged = stage_predictions(settings, model, call.as_of, output, attempt=call.attempt, suite_digest=suite.digest)
    return output | {"staged": staged}


def _training_set(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = inputs.get("training_set")
    if not isinstance(reference, Mapping):
        raise NoTrainingSet
    return reference
