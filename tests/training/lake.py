"""Puts raw rows into a real lake: landing files, staged, published, features computed and published."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from include.features.staging import FeaturesStage
from include.gates.suite import load_suite
from include.lake.files_source import FilesSource
from include.lake.staging import StagedPartition, new_manifest
from include.lake.table import LakeTable
from include.settings import Settings
from include.spec.definition import Definition

PASSED = {"verdict": "passed"}
AS_OF = datetime(2013, 1, 18, 5, tzinfo=UTC)  # midnight in New York


def with_suites(settings: Settings, folder: Path, model: str = "late") -> Settings:
    """Settings whose suites accept everything."""
    anything = {
        "type": "expect_table_row_count_to_be_between",
        "kwargs": {"min_value": 0},
        "severity": "critical",
        "meta": {"notes": "Anything will do."},
    }
    for stage in ("raw", "features", "predictions"):
        path = folder / "expectations" / model / f"{stage}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"name": f"{model}.{stage}", "expectations": [anything]}))
    return replace(settings, expectations=folder / "expectations", models=folder / "models")


def land(settings: Settings, rows: pd.DataFrame, *, shuffle: int | None = None) -> list[str]:
    """Write a landing file for each day; returns the days."""
    if shuffle is not None:
        rows = rows.sample(frac=1, random_state=shuffle)
    folder = settings.store / "landing"
    folder.mkdir(parents=True, exist_ok=True)
    days = rows["left_at"].dt.strftime("%Y-%m-%d")
    for day, part in rows.groupby(days):
        part.reset_index(drop=True).to_parquet(folder / f"{day}.parquet")
    return sorted(days.unique())


def ingest(settings: Settings, definition: Definition, days: Sequence[str], attempt: str = "one") -> None:
    """Publish the raw rows of these days."""
    raw = LakeTable(settings, definition.model, "raw")
    suite = load_suite(settings, definition.model, "raw").digest
    source = FilesSource(settings, definition, attempt, suite)
    _publish(raw, source.stage(days, raw.partitions()), attempt)


def prepare(settings: Settings, definition: Definition, days: Sequence[str], attempt: str = "one") -> None:
    """Publish the features of these days."""
    features = LakeTable(settings, definition.model, "features")
    suite = load_suite(settings, definition.model, "features").digest
    stage = FeaturesStage(settings, definition, attempt, suite)
    raw = LakeTable(settings, definition.model, "raw")
    _publish(features, stage.stage(days, raw, features.partitions()), attempt)


def fill(settings: Settings, definition: Definition, rows: pd.DataFrame, *, shuffle: int | None = None) -> list[str]:
    """Land, ingest and prepare all rows; with ``shuffle`` in another order of rows and days."""
    days = land(settings, rows, shuffle=shuffle)
    order = days if shuffle is None else list(reversed(days))
    half = len(order) // 2
    for number, some in enumerate((order[:half], order[half:])):
        ingest(settings, definition, some, f"try{number}")
        prepare(settings, definition, some, f"try{number}")
    return days


def _publish(table: LakeTable, staged: list[StagedPartition], attempt: str) -> None:
    problems = [partition.problem for partition in staged if partition.problem]
    assert not problems, problems
    manifest = new_manifest(model=table.model, table=table.name, attempt=attempt, as_of=AS_OF, partitions=staged)
    table.publish(manifest, attempt=attempt, gate=PASSED)
