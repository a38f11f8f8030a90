"""Features that were removed since their model is retired: they can be made anew from raw rows, to the same digests.

A document in the store names the partitions, from before the first of them goes until all of them are there again.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Final

from include.lake.paths import freed_file
from include.lake.publishing import drop_partitions
from include.lake.store import store_of
from include.lake.table import LakeTable
from include.settings import Settings

_VERDICT: Final = "retired"


def free_features(settings: Settings, model: str, *, attempt: str) -> list[str]:
    """Take the published features out of their table, those that the raw table has rows for.

    :returns: keys of the partitions that went; none if they were gone already.
    :raises TableChanged: another writer came in between.
    """
    features, raw = LakeTable(settings, model, "features"), LakeTable(settings, model, "raw")
    keys = sorted(features.partitions().keys() & raw.partitions().keys())
    if not keys:
        return []
    _write(settings, model, sorted({*keys, *_read(settings, model)}))
    return drop_partitions(features, keys, attempt=attempt, verdict=_VERDICT)


def freed_features(settings: Settings, model: str) -> list[str]:
    """Keys of the partitions whose features were freed, are not there again, and can be made from raw rows.

    The document that names them goes when there are none left.
    """
    named = _read(settings, model)
    if not named:
        return []
    features, raw = LakeTable(settings, model, "features").partitions(), LakeTable(settings, model, "raw").partitions()
    left = [key for key in named if key in raw and key not in features]
    if not left:
        store_of(settings).remove(freed_file(settings, model))
    return left


def _read(settings: Settings, model: str) -> list[str]:
    path = freed_file(settings, model)
    store_of(settings).fetch(path)
    if not path.is_file():
        return []
    keys: list[str] = json.loads(path.read_text(encoding="utf-8"))["features"]
    return keys


def _write(settings: Settings, model: str, keys: list[str]) -> None:
    path = freed_file(settings, model)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial: Path = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    partial.write_text(json.dumps({"features": keys}, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)
    store_of(settings).deliver(path)
