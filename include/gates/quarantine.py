"""Keeps refused partitions whole, with the gate's word on them, below ``quarantine/<model>/<partition>/``."""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path
from typing import Any, Final

from include.gates.result import GateResult
from include.lake.paths import from_store, quarantine_folder
from include.lake.staging import StagedPartition
from include.settings import Settings

PAGE: Final = "page.html"
VERDICT: Final = "gate.json"
RESOLVED: Final = "resolved.json"
_LARGEST_COPY: Final = 1 << 30


def quarantine(
    settings: Settings, model: str, partition: StagedPartition, result: GateResult, *, own_file: bool
) -> Path:
    """Replace the partition's quarantine folder; the caller writes the page into it.

    ``rows.parquet`` are the staged rows; if they could not be read, ``source.*`` is the source file.

    :param own_file: whether the source file holds this partition only.
    :returns: the folder.
    """
    folder = quarantine_folder(settings, model, partition.key)
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    partial.mkdir(parents=True)
    try:
        kept = _keep(settings, partition, partial, own_file=own_file)
        document = {"kept": kept, "source": partition.source, "notes": list(partition.notes), **result.to_document()}
        (partial / VERDICT).write_text(json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False))
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def resolve(settings: Settings, model: str, key: str, stage: str, note: dict[str, Any]) -> None:
    """Mark a partition's older quarantine as resolved, if this stage refused it then and accepts it now."""
    folder = quarantine_folder(settings, model, key)
    try:
        refused_by = json.loads((folder / VERDICT).read_text()).get("stage")
    except (OSError, ValueError):
        return
    if refused_by == stage:
        (folder / RESOLVED).write_text(json.dumps(note, indent=1))


def _keep(settings: Settings, partition: StagedPartition, folder: Path, *, own_file: bool) -> str | None:
    """Copy the rows, or else the source file; return the copy's name."""
    if partition.path is not None:
        shutil.copyfile(from_store(settings, partition.path), folder / "rows.parquet")
        return "rows.parquet"
    source = Path(partition.source) if partition.source else None
    if source is None or not own_file or not source.is_file() or source.stat().st_size > _LARGEST_COPY:
        return None
    name = f"source{source.suffix}"
    shutil.copyfile(source, folder / name)
    return name


def kept_file(folder: Path) -> Path | None:
    """Return the file that was kept in a quarantine folder: the rows, or the source."""
    found = [path for name in ("rows.parquet", "source.*") for path in folder.glob(name)]
    return found[0] if found else None
