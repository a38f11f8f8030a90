"""Small factories for the lake's tests: a definition, its landing files, staging, publishing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from include.lake.files_source import FilesSource
from include.lake.publishing import Published
from include.lake.staging import StagedManifest, StagedPartition, new_manifest
from include.lake.table import LakeTable
from include.settings import Settings
from include.spec.definition import Definition

AS_OF = datetime(2024, 2, 1, tzinfo=UTC)
PASSED: Mapping[str, Any] = {"stage": "raw", "verdict": "passed", "page": None}


def make_definition(**changes: Any) -> Definition:
    """A model of shop orders; keys of ``source`` and top-level sections can be replaced."""
    source = {
        "type": "files",
        "path": "{store}/landing/orders/{partition}.parquet",
        "partition": "day",
        "time_zone": "UTC",
        "starts": date(2024, 1, 1),
        "event_time": "at",
        "entity": ["shop", "number"],
        "columns": {
            "at": "timestamp",
            "shop": "string",
            "number": "integer",
            "price": "number",
            "express": "boolean",
            "days": "number",
        },
    }
    source |= changes.pop("source", {})
    document: dict[str, Any] = {
        "model": "orders",
        "description": "Will it be late?",
        "owner": "shop",
        "task": "binary_classification",
        "source": source,
        "label": {"expression": "days > 2"},
        "features": {
            "price": {"expression": "price * 2"},
            "shop": {"expression": "lower(shop)", "type": "category"},
            "express": {"expression": "express", "type": "boolean"},
        },
        "training": {"window": "10d", "validation": "2d", "holdout": "2d"},
        "evaluation": {
            "metrics": ["roc_auc"],
            "gates": [{"metric": "roc_auc", "at_least": 0.5}],
            "slices": ["shop"],
        },
    }
    return Definition.model_validate(document | changes)


def make_rows(day: str, count: int = 5) -> dict[str, list[Any]]:
    """Well-formed rows of a day."""
    start = datetime.fromisoformat(day)
    return {
        "at": [start + timedelta(minutes=i) for i in range(count)],
        "shop": ["North" if i % 2 else "South" for i in range(count)],
        "number": list(range(count)),
        "price": [i + 0.5 for i in range(count)],
        "express": [bool(i % 3) for i in range(count)],
        "days": [float(i) for i in range(count)],
    }


def landing_path(settings: Settings, key: str, suffix: str = "parquet") -> Path:
    """Where the factory's definition expects a partition's file."""
    path = settings.store / "landing" / "orders" / f"{key}.{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def land(settings: Settings, key: str, rows: Mapping[str, Any] | None = None) -> Path:
    """Write a partition's Parquet file."""
    path = landing_path(settings, key)
    columns = make_rows(key) if rows is None else rows
    # Column by column, so that a test can give a column any type.
    pq.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), path)
    return path


def stage_raw(
    settings: Settings,
    definition: Definition,
    keys: Sequence[str],
    *,
    attempt: str = "try-1",
    force: bool = False,
) -> dict[str, StagedPartition]:
    """Stage raw partitions as ``ingest`` does; by key."""
    published = LakeTable(settings, definition.model, "raw").partitions()
    source = FilesSource(settings, definition, attempt, "suite")
    return {partition.key: partition for partition in source.stage(keys, published, force=force)}


def manifest_of(
    partitions: Mapping[str, StagedPartition], *, table: str = "raw", attempt: str = "try-1", model: str = "orders"
) -> StagedManifest:
    """A manifest of these partitions, as the gate leaves it when all pass."""
    manifest = new_manifest(
        model=model, table=table, attempt=attempt, as_of=AS_OF, partitions=partitions.values(), code="code"
    )
    return replace(manifest, gate=dict(PASSED))


def publish_raw(
    settings: Settings, definition: Definition, keys: Sequence[str], *, attempt: str = "try-1", force: bool = False
) -> Published:
    """Stage raw partitions and publish all that were accepted."""
    staged = stage_raw(settings, definition, keys, attempt=attempt, force=force)
    table = LakeTable(settings, definition.model, "raw")
    return table.publish(manifest_of(staged, attempt=attempt), attempt=attempt, gate=PASSED)


def write_suites(settings: Settings, model: str = "orders") -> Settings:
    """Settings with minimal suites for the raw and features stages."""
    folder = settings.home / "expectations"
    (folder / model).mkdir(parents=True, exist_ok=True)
    for stage in ("raw", "features"):
        expectation = {
            "type": "expect_table_row_count_to_be_between",
            "kwargs": {"min_value": 1},
            "meta": {"notes": "A day without rows is a fault."},
        }
        suite = {"name": f"{model}.{stage}", "expectations": [expectation | {"severity": "critical"}]}
        (folder / model / f"{stage}.json").write_text(json.dumps(suite))
    return replace(settings, expectations=folder)
