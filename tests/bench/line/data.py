"""``python -m tests.bench.line.data MODEL…``: make and publish the features of all partitions that trainings need."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from include.settings import Settings
from include.spec.loader import find_definition
from include.spec.partitions import PartitionCalendar
from tests.bench.line.stepping import run_step


def publish(model: str) -> None:
    """Ingest, gate, publish, prepare, gate, publish: everything that an archive, or a source without time, holds."""
    settings = Settings.from_environment(os.environ)
    definition = find_definition(settings, model)
    keys: dict[str, object] = {}
    as_of = datetime.now(UTC).isoformat()
    if definition.source.has_time:
        keys = {"first": str(definition.source.starts), "last": str(definition.source.ends)}
        as_of = str(PartitionCalendar.of(definition).end_of_data)
    staged = run_step("ingest", keys, model, as_of)
    judged = run_step("gate", {"stage": "raw", "staged": staged}, model, as_of)
    raw = run_step("publish", {"gate": judged}, model, as_of)
    prepared = run_step("prepare", {"published": raw}, model, as_of)
    gated = run_step("gate", {"stage": "features", "staged": prepared}, model, as_of)
    run_step("publish", {"gate": gated}, model, as_of)


def main(models: Sequence[str]) -> None:
    """Publish the first one's; the others, which are like it, get copies of its tables."""
    publish(models[0])
    lake = Settings.from_environment(os.environ).store / "lake"
    for other in models[1:]:
        shutil.copytree(lake / models[0], lake / other)


if __name__ == "__main__":
    main(sys.argv[1:])
