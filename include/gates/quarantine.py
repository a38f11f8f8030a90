"""Sends refused partitions to the lake's quarantine, and marks older refusals as resolved."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from include.gates.result import GateResult
from include.lake.paths import quarantine_folder
from include.lake.quarantine import quarantine_partition
from include.lake.staging import StagedPartition
from include.lake.store import store_of
from include.settings import Settings

PAGE: Final = "page.html"
VERDICT: Final = "gate.json"
RESOLVED: Final = "resolved.json"


def quarantine(
    settings: Settings,
    model: str,
    partition: StagedPartition,
    result: GateResult,
    *,
    own_file: bool,
    scores: bool = False,
) -> Path:
    """Replace the partition's quarantine folder and return it; the caller writes the page into it.

    ``rows.parquet`` are the staged rows; if they could not be read, ``source.*`` is the source file.

    :param own_file: whether the source file holds this partition only; a file of many partitions is only named.
    :param scores: whether batch scoring refused it.
    """
    gate = result.to_document() | {"source": partition.source, "notes": list(partition.notes)}
    kept = partition if own_file else replace(partition, source=None)
    return quarantine_partition(settings, model, kept.refused(result.reason), gate, scores=scores)


def resolve(
    settings: Settings, model: str, key: str, stage: str, note: dict[str, Any], *, scores: bool = False
) -> None:
    """Mark a partition's older quarantine as resolved, if this stage refused it then and accepts it now."""
    folder, store = quarantine_folder(settings, model, key, scores=scores), store_of(settings)
    store.fetch(folder / VERDICT)
    try:
        refused_by = json.loads((folder / VERDICT).read_text())["gate"]["stage"]
    except (OSError, ValueError, KeyError):
        return
    if refused_by == stage:
        (folder / RESOLVED).write_text(json.dumps(note, indent=1))
        store.deliver(folder / RESOLVED)


def kept_file(folder: Path) -> Path | None:
    """Return the file that was kept in a quarantine folder: the rows, or the source."""
    found = [path for name in ("rows.parquet", "source.*") for path in folder.glob(name)]
    return found[0] if found else None
