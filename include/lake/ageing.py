"""Data that is older than the definition keeps it: partitions leave the tables and their history, refusals and
training sets go."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Final

from include.lake.paths import checked_model
from include.lake.publishing import drop_partitions
from include.lake.store import store_of
from include.lake.table import LakeTable
from include.settings import Settings
from include.spec.definition import Definition
from include.spec.partitions import PartitionCalendar, PartitionError

_VERDICT: Final = "gate.json"


def drop_aged(settings: Settings, definition: Definition, as_of: datetime, attempt: str) -> dict[str, list[str]]:
    """Drop what is older than ``retention`` allows.

    :param as_of: the run's instant, from which ages are counted; a backfill drops no more than it would have then.
    :returns: keys of dropped partitions by table, and of refusals; digests of training sets.
    """
    kept = definition.retention
    dropped: dict[str, list[str]] = {}
    for name, age in (("features", kept.data), ("raw", kept.data), ("scores", kept.scores)):
        table = LakeTable(settings, definition.model, name)
        if age is None or not definition.source.has_time or not table.exists():
            continue
        limit = as_of - age
        old = [key for key in _keys(table) if (end := _end(definition, key)) is not None and end <= limit]
        if old:
            dropped[name] = drop_partitions(table, old, attempt=attempt)
    if kept.quarantine is not None:
        dropped["quarantine"] = _drop_refusals(settings, definition.model, kept.quarantine.total_seconds())
    if kept.training_sets is not None:
        dropped["training sets"] = _drop_training_sets(settings, definition.model, kept.training_sets.total_seconds())
    return {name: keys for name, keys in dropped.items() if keys}


def _keys(table: LakeTable) -> list[str]:
    """Keys of all partitions of which the folder has a file, of whatever version."""
    files = (path for path in table.store.find(table.folder, "*.parquet") if path.parent == table.folder)
    return sorted({path.name.rsplit("-", 1)[0].replace("_", "+") for path in files})


def _end(definition: Definition, key: str) -> datetime | None:
    """When a partition ended; None for one that is no partition of time, such as a scored file."""
    try:
        return PartitionCalendar.of(definition).from_key(key).end
    except PartitionError:
        return None


def _drop_refusals(settings: Settings, model: str, seconds: float) -> list[str]:
    store, root = store_of(settings), settings.store / "quarantine" / checked_model(model)
    documents = [*store.find(root, f"*/{_VERDICT}"), *store.find(root, f"scores/*/{_VERDICT}")]
    old = [path.parent for path in documents if time.time() - store.touched(path) > seconds]
    for folder in old:
        store.remove_folder(folder)
    return [folder.name for folder in old]


def _drop_training_sets(settings: Settings, model: str, seconds: float) -> list[str]:
    store = store_of(settings)
    folders = store.folders(settings.store / "training" / checked_model(model))
    old = [folder for folder in folders if time.time() - store.touched(folder) > seconds]
    for folder in old:
        store.remove_folder(folder)
    return [folder.name for folder in old]
