"""Orders in a real lake whose features read the past of their shop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from include.features.staging import FeaturesStage
from include.lake.staging import StagedPartition
from include.lake.table import LakeTable
from include.settings import Settings
from include.spec.definition import Definition
from tests.lake.factories import PASSED, land, make_definition, manifest_of, publish_raw

DAYS = [f"2024-01-0{day}" for day in range(1, 7)]
GROUP: dict[str, Any] = {
    "by": ["shop"],
    "over": "2d",
    "known_after": "1d",
    "values": {"late_rate": {"mean": "days > 2"}, "orders": "count"},
}


def reading(**changes: Any) -> Definition:
    features = {"rate": {"expression": "recent_late_rate"}, "orders": {"expression": "recent_orders"}}
    return make_definition(**({"history": {"recent": GROUP}, "features": features} | changes))


def publish_days(settings: Settings, definition: Definition, days: Sequence[str], attempt: str = "r-1") -> None:
    for day in days:
        land(settings, day)
    publish_raw(settings, definition, days, attempt=attempt)


def stage(
    settings: Settings, definition: Definition, keys: Sequence[str], attempt: str, suite: str = "suite"
) -> dict[str, StagedPartition]:
    features = LakeTable(settings, definition.model, "features")
    raw = LakeTable(settings, definition.model, "raw")
    staged = FeaturesStage(settings, definition, attempt, suite).stage(keys, raw, features.partitions())
    return {partition.key: partition for partition in staged}


def publish_features(
    settings: Settings, definition: Definition, keys: Sequence[str], attempt: str, suite: str = "suite"
) -> list[str]:
    """Returns what had to be computed."""
    staged = stage(settings, definition, keys, attempt, suite)
    manifest = manifest_of(staged, table="features", attempt=attempt, model=definition.model)
    LakeTable(settings, definition.model, "features").publish(manifest, attempt=attempt, gate=PASSED)
    return sorted(key for key, partition in staged.items() if partition.status == "staged")
