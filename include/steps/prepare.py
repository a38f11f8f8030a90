"""Step ``prepare``: computes the features of published raw partitions and stages them.

Inputs: ``published`` (the output of publishing the raw table; without it only what was freed is made anew) and
``force``.
"""

from __future__ import annotations

from include.errors import NothingToDo
from include.steps.protocol import Document, StepCall


class NothingFreed(NothingToDo):
    """No features of the model were freed."""

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(f"All features of {model} are there: nothing is to be made anew.")


def run(call: StepCall) -> Document:
    """Stage the features of the partitions just published, of those whose features are out of date, and of those whose
    features were freed while the model was retired.

    :raises NothingFreed: nothing was published, and nothing is to be made anew.
    """
    from include.engines.engine import open_engine
    from include.features.staging import FeaturesStage
    from include.gates.suite import load_suite
    from include.lake.digests import code_checksum
    from include.lake.freed import freed_features
    from include.lake.staging import new_manifest, read_manifest, write_manifest
    from include.lake.table import LakeTable
    from include.steps.ingest import report

    model = call.definition.model
    suite = load_suite(call.settings, model, "features")
    keys = freed_features(call.settings, model)
    if given := call.inputs.get("published"):
        gated = read_manifest(call.settings, {"manifest": given["keys_manifest"]})
        keys += [partition.key for partition in gated.accepted]
    elif not keys:
        raise NothingFreed(model)
    published = LakeTable(call.settings, model, "features").partitions()
    stage = FeaturesStage(call.settings, call.definition, call.attempt, suite.digest)
    raw, force = LakeTable(call.settings, model, "raw"), bool(call.inputs.get("force"))
    with open_engine(call.settings, call.definition) as engine:
        staged = stage.stage(keys, raw, published, force=force, workers=engine.workers)
    manifest = new_manifest(
        model=model,
        table="features",
        attempt=call.attempt,
        as_of=call.as_of,
        partitions=staged,
        code=code_checksum(),
    )
    report(manifest)
    return write_manifest(call.settings, manifest)
