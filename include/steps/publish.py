"""Step ``publish``: publishes what the gate accepted, in one atomic commit. Running it again changes nothing.

Inputs: ``gate`` (the output of the gate, of any of the three tables).
"""

from __future__ import annotations

import logging

from include.steps.protocol import Document, StepCall

log = logging.getLogger(__name__)


def run(call: StepCall) -> Document:
    """Publish the gated manifest's accepted partitions and say which version holds them."""
    from include.lake.staging import read_manifest
    from include.lake.table import LakeTable

    gate = call.inputs["gate"]
    staged = gate["staged"]
    manifest = read_manifest(call.settings, staged)
    table = LakeTable(call.settings, call.definition.model, manifest.table)
    published = table.publish(manifest, attempt=call.attempt, gate=gate)
    log.info("%s: version %d, %d changed", table.label, published.version, len(published.changed))
    if published.dropped:
        log.warning(
            "%s: the columns changed; %d partitions of the old kind left this version (stage them again): %s … %s",
            table.label,
            len(published.dropped),
            published.dropped[0],
            published.dropped[-1],
        )
    if manifest.table == "raw" and call.definition.history:
        from include.features.replica import publish_replicas

        publish_replicas(call.settings, call.definition)
    return {
        "table": manifest.table,
        "version": published.version,
        "digest": published.digest,
        "first": staged["first"],
        "last": staged["last"],
        "partitions": len(manifest.accepted),
        "rows": published.rows,
        "changed": len(published.changed),
        "dropped": len(published.dropped),
        "refused": staged["refused"],
        "missing": staged["missing"],
        "keys_manifest": staged["manifest"],
    }
