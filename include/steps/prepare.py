"""Step ``prepare``: computes the features of published raw partitions and stages them.

Inputs: ``published`` (the output of publishing the raw table) and ``force``.
"""

from __future__ import annotations

from include.steps.protocol import Document, StepCall


def run(call: StepCall) -> Document:
    """Stage the features of the partitions just published, and of those whose features are out of date."""
    from include.features.staging import FeaturesStage
    from include.gates.suite import load_suite
    from include.lake.digests import code_checksum
    from include.lake.staging import new_manifest, read_manifest, write_manifest
    from include.lake.table import LakeTable
    from include.steps.ingest import report

    model = call.definition.model
    suite = load_suite(call.settings, model, "features")
    gated = read_manifest(call.settings, {"manifest": call.inputs["published"]["keys_manifest"]})
    keys = [partition.key for partition in gated.accepted]
    published = LakeTable(call.settings, model, "features").partitions()
    stage = FeaturesStage(call.settings, call.definition, call.attempt, suite.digest)
    staged = stage.stage(keys, LakeTable(call.settings, model, "raw"), published, force=bool(call.inputs.get("force")))
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
