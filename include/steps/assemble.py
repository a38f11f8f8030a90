"""Step assemble: the training set as of a date, as files in the store."""

from __future__ import annotations

from include.steps.protocol import Document, StepCall


def run(call: StepCall) -> Document:
    """Build the training set from the newest published features table, or find the same one complete.

    :returns: the reference of the training set: directory, digest, versions, rows, windows, missing partitions.
    :raises Refused: if the windows hold too little, or labels that nothing can be learned from.
    """
    from include.engines.engine import open_engine
    from include.training.training_set import assemble_training_set

    with open_engine(call.settings, call.definition) as engine:
        made = assemble_training_set(call.settings, call.definition, call.as_of, engine.workers)
    return made.reference(call.settings)
