"""A new partition costs that partition: no step of the data's way, nor the drift check, reads an older one's rows.

The older partitions' files are taken away before the new one comes: a step that would read one fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from include.lake.table import LakeTable
from include.monitoring.window import CountedPartitions, count_partitions
from include.settings import Settings
from include.training.profile import make_profile
from tests.steps.judging_world import World, judged_definition, land, write_suites

pytestmark = pytest.mark.database

OLD, NEW = [f"2013-01-{day:02}" for day in range(1, 9)], "2013-01-09"


@pytest.fixture
def line(stored_settings: Settings, database_url: str) -> World:
    """Eight days published."""
    from include.registry.database import ensure_schema

    ensure_schema(database_url)
    settings = write_suites(replace(stored_settings, home=stored_settings.store.parent))
    land(settings)
    world = World(settings=settings, trained={})
    bring(world, OLD[0], OLD[-1])
    return world


def bring(world: World, first: str, last: str) -> dict[str, Any]:
    """The steps of the data DAG; returns what publishing the features gave."""
    published: dict[str, Any] = {}
    staged = world.run("ingest", 36, {"first": first, "last": last})
    for stage in ("raw", "features"):
        gated = world.run("gate", 36, {"stage": stage, "staged": staged})
        published = world.run("publish", 36, {"gate": gated})
        if stage == "raw":
            staged = world.run("prepare", 36, {"published": published})
    return published


@contextmanager
def without(world: World, *keys: str) -> Iterator[list[Path]]:
    """Within, neither the lake nor the landing zone has the files of these partitions."""
    files = [world.settings.store / "landing" / f"{key}.parquet" for key in keys]
    for name in ("raw", "features"):
        own = LakeTable(world.settings, "late", name).files()
        files += [own[key] for key in keys]
    for path in files:
        path.rename(path.with_suffix(".away"))
    yield files
    for path in files:
        path.with_suffix(".away").rename(path)


def test_a_new_day_goes_the_whole_way_without_the_files_of_older_days(line: World) -> None:
    with without(line, *OLD) as away:
        published = bring(line, NEW, NEW)
        assert len(away) == 3 * len(OLD)
        assert (published["changed"], published["partitions"]) == (1, 1)
        assert [*LakeTable(line.settings, "late", "features").partitions()] == [*OLD, NEW]


def test_a_drift_check_counts_the_new_day_only_and_says_what_counting_all_says(line: World) -> None:
    reference = profile(line)
    counted(line, OLD, reference)
    bring(line, NEW, NEW)
    window = [*OLD[1:], NEW]
    with without(line, *OLD):
        quick = counted(line, window, reference)
    (line.settings.store / "monitoring" / "late" / "counts.json").write_text("{}")
    assert quick == counted(line, window, reference)
    assert set(quick.by_key) == set(window)


def test_another_reference_is_counted_anew(line: World) -> None:
    reference = profile(line)
    counted(line, OLD, reference)
    other = {"far": {**reference["far"], "edges": [0.0, 1.0], "counts": [0, 0, 0]}}
    with without(line, *OLD), pytest.raises(Exception, match="parquet"):
        counted(line, OLD, other)
    again = counted(line, OLD, other)
    assert again.by_key[OLD[0]].columns["far"]["edges"] == [0.0, 1.0]


def profile(world: World) -> dict[str, Any]:
    rows = LakeTable(world.settings, "late", "features").dataset().to_table().to_pandas()
    types = {name: feature.type for name, feature in judged_definition().features.items()}
    made = make_profile(rows, types, predictions=[0.1, 0.9], labels=[0.0, 1.0], task="binary_classification")
    return dict(made["features"])


def counted(world: World, keys: list[str], reference: dict[str, Any]) -> CountedPartitions:
    return count_partitions(world.settings, "late", keys, reference)
