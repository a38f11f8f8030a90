"""Quarantine: a refused partition is kept whole, with what refused it, until a person has looked."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from include.lake.paths import from_store, quarantine_folder
from include.lake.staging import StagedPartition
from include.lake.store import store_of
from include.settings import Settings

_TOO_LARGE_TO_COPY = 1 << 30
_VERDICT = "gate.json"


def quarantine_partition(
    settings: Settings, model: str, partition: StagedPartition, gate: Mapping[str, Any], *, scores: bool = False
) -> Path:
    """Keep a refused partition: ``rows.parquet`` (if its rows could be read) or the source file, and ``gate.json``.

    Written beside and moved into place, so that a killed step leaves no half; an earlier refusal of the same
    partition is replaced. Source files above 1 GiB are only named.

    :param partition: the refused partition (its ``path`` or ``source`` names the data).
    :param gate: what refused it, as JSON.
    :param scores: whether batch scoring refused it.
    :returns: the partition's quarantine folder; a page may be added to it.
    """
    folder = quarantine_folder(settings, model, partition.key, scores=scores)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    document = {
        "partition": partition.key,
        "problem": partition.problem,
        "source": partition.source,
        "gate": dict(gate),
    }
    (partial / _VERDICT).write_text(json.dumps(document, indent=1, default=str))
    _keep_data(settings, partition, partial)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    store_of(settings).deliver_folder(folder, _VERDICT)
    return folder


def _keep_data(settings: Settings, partition: StagedPartition, folder: Path) -> None:
    store = store_of(settings)
    if partition.path:
        staged = from_store(settings, partition.path)
        store.fetch(staged, fixed=True)
        if staged.is_file():
            shutil.copyfile(staged, folder / "rows.parquet")
            return
    source = store.place(partition.source) if partition.source else None
    size = store.size(source) if source is not None else None
    if source is not None and size is not None and size <= _TOO_LARGE_TO_COPY:
        store.fetch(source)
        with suppress(PermissionError):  # a file that may not be read is only named, too
            shutil.copyfile(source, folder / f"source{source.suffix}")
