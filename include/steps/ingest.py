"""Step ``ingest``: reads the partitions of a range from the source and stages them as raw rows.

Inputs: ``first``, ``last`` (keys; default: the last complete partition as of the run's instant) and ``force``. Data
without time is one partition, all that the source holds now.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from include.errors import NothingToDo, TryAgain
from include.spec.partitions import Partition, PartitionCalendar
from include.steps.protocol import Document, StepCall

if TYPE_CHECKING:
    from include.lake.staging import StagedManifest

log = logging.getLogger(__name__)


class PartitionNotThere(TryAgain):
    """The one partition asked for has not arrived yet; carries its key and the path looked for."""

    def __init__(self, key: str, problem: str) -> None:
        self.key = key
        super().__init__(f"{problem} It will be looked for again; deliver it, or name another partition.")


def run(call: StepCall) -> Document:
    """Stage the range's partitions and return the reference of the manifest.

    :raises NothingToDo: if the range holds nothing that is complete as of the run's instant.
    :raises PartitionNotThere: if a single partition was asked for and its data is not there.
    :raises NewerDelivery: if data without time would be ingested as older than what is published.
    """
    from include.gates.suite import load_suite
    from include.lake.ageing import drop_aged
    from include.lake.cleaning import clean_staging
    from include.lake.deliveries import refuse_the_past
    from include.lake.digests import code_checksum
    from include.lake.sources import open_source
    from include.lake.staging import new_manifest, write_manifest
    from include.lake.table import LakeTable

    definition = call.definition
    keys = [partition.key for partition in chosen_partitions(call)]
    suite = load_suite(call.settings, definition.model, "raw")
    clean_staging(call.settings, definition.model)
    for name, dropped in drop_aged(call.settings, definition, call.as_of, call.attempt).items():
        log.info("%s: %d older than retention allows were dropped, up to %s", name, len(dropped), dropped[-1])
    table = LakeTable(call.settings, definition.model, "raw")
    if not definition.source.has_time:
        refuse_the_past(table, call.as_of)
    published = table.partitions()
    source = open_source(call.settings, definition, call.attempt, suite.digest)
    staged = source.stage(keys, published, force=bool(call.inputs.get("force")))
    manifest = new_manifest(
        model=definition.model,
        table="raw",
        attempt=call.attempt,
        as_of=call.as_of,
        partitions=staged,
        code=code_checksum(),
    )
    report(manifest)
    if len(keys) == 1 and staged[0].status == "missing":
        raise PartitionNotThere(keys[0], staged[0].problem or f"Partition {keys[0]} has not arrived.")
    return write_manifest(call.settings, manifest)


def chosen_partitions(call: StepCall) -> list[Partition]:
    """The partitions of the range that the inputs name, without those that were not complete as of the instant.

    :raises NothingToDo: if none is left.
    :raises PartitionError: if a key is no partition.
    """
    calendar = PartitionCalendar.of(call.definition)
    last = call.inputs.get("last") or calendar.last_complete(call.as_of).key
    first = call.inputs.get("first") or last
    asked = calendar.range(first, last)
    ends = calendar.end_of_data
    limit = min(call.as_of, ends) if ends else call.as_of
    chosen = [partition for partition in asked if partition.end <= limit and partition.start >= calendar.first.start]
    if not chosen:
        raise NothingToDo(
            f"No partition of {first}..{last} is complete as of {call.as_of.isoformat()} within the data's own range "
            f"(from {calendar.first.key}); nothing was ingested. Choose an older range or a later as_of."
        )
    if len(chosen) < len(asked):
        log.warning("%d of %d partitions lie outside the data or after as_of", len(asked) - len(chosen), len(asked))
    return chosen


def report(manifest: StagedManifest) -> None:
    """Log what was staged: counts, and each problem."""
    for partition in manifest.of_status("refused", "missing"):
        log.warning("%s: %s", partition.key, partition.problem)
    counts = {s: len(manifest.of_status(s)) for s in ("staged", "unchanged", "refused", "missing")}
    log.info("%s: %s", manifest.table, ", ".join(f"{count} {status}" for status, count in counts.items()))
