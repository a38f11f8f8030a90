"""A training's predictions on their way into the lake: the steps train, gate and publish in a row."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from include.gates.errors import GateRefused
from include.lake.connections import open_duckdb
from include.lake.staging import read_manifest
from include.lake.table import LakeTable
from include.registry.database import ensure_schema
from include.registry.results import find_checks
from include.steps.protocol import Document
from include.training.predictions import stage_predictions
from tests.steps.judging_world import World, as_of, judged_definition

pytestmark = pytest.mark.database
DAY = 25


@pytest.fixture
def lake(world: World) -> World:
    """The world with a schema for the gates' results."""
    ensure_schema(world.settings.database_url)
    return world


def train(world: World, *, rounds: int = 20) -> Document:
    """Run assemble and train, as the DAG does; an equal training is reused."""
    definition = judged_definition(training={"rounds": rounds})
    training_set = world.run("assemble", DAY, {}, definition)
    return world.run("train", DAY, {"training_set": training_set}, definition)


def gate(world: World, training: Document) -> Document:
    return world.run("gate", DAY, {"stage": "predictions", "training": training})


def publish(world: World, gated: Document) -> Document:
    return world.run("publish", DAY, {"gate": gated})


def table_of(world: World) -> LakeTable:
    return LakeTable(world.settings, "late", "predictions")


def key_of(training: Document) -> str:
    return str(training["fingerprint"])[:16]


def rows_of(world: World, key: str, version: int | None = None) -> pd.DataFrame:
    with open_duckdb(world.settings) as connection:
        table_of(world).scan(connection, "rows", version=version, keys=[key])
        return connection.execute("SELECT * FROM rows ORDER BY data_partition, _row").df()


def state(world: World) -> tuple[int, dict[str, Any]] | None:
    table = table_of(world)
    return (table.version(), table.partitions()) if table.exists() else None


def with_suite(world: World, folder: Path, kwargs: dict[str, Any]) -> World:
    """The world with another predictions suite."""
    expectation = {"type": "expect_table_row_count_to_be_between", "kwargs": kwargs, "severity": "critical"}
    document = {"name": "late.predictions", "expectations": [expectation | {"meta": {"notes": "Only a test."}}]}
    (folder / "late").mkdir(parents=True)
    (folder / "late" / "predictions.json").write_text(json.dumps(document))
    for stage in ("raw", "features"):
        suite = (world.settings.expectations / "late" / f"{stage}.json").read_text()
        (folder / "late" / f"{stage}.json").write_text(suite)
    return replace(world, settings=replace(world.settings, expectations=folder))


def test_predictions_are_staged_gated_and_published_as_a_partition_of_their_training(lake: World) -> None:
    training = train(lake)
    key = key_of(training)
    assert {name: training["staged"][name] for name in ("table", "partitions", "first", "last")} == {
        "table": "predictions",
        "partitions": 1,
        "first": key,
        "last": key,
    }
    output = publish(lake, gate(lake, training))
    expected = pd.read_parquet(lake.settings.store / training["predictions"])
    assert (output["table"], output["first"], output["last"], output["rows"]) == (
        "predictions",
        key,
        key,
        len(expected),
    )

    found = rows_of(lake, key)
    columns = {"data_partition": "partition", "_row": "_row", "label": "label", "prediction": "prediction"}
    pd.testing.assert_frame_equal(found[list(columns)].rename(columns=columns), expected, check_dtype=False)
    assert set(found["partition"]) == {key}
    with open_duckdb(lake.settings) as connection:
        LakeTable(lake.settings, "late", "features").scan(connection, "features")
        table_of(lake).scan(connection, "predicted", keys=[key])
        joined = "features f ON f.partition = p.data_partition AND f._row = p._row AND f.label = p.label"
        [same] = connection.execute(f"SELECT count(*) FROM predicted p JOIN {joined}").fetchone() or [0]
    assert same == len(expected)


def test_a_reused_training_publishes_nothing_new(lake: World) -> None:
    publish(lake, gate(lake, train(lake)))
    before = state(lake)
    again = train(lake)
    assert again["reused"] is True
    output = publish(lake, gate(lake, again))
    assert (output["changed"], output["rows"]) == (0, again["staged"]["rows"])
    assert state(lake) == before


def test_two_trainings_are_two_partitions_and_older_versions_stay(lake: World) -> None:
    one, two = train(lake), train(lake, rounds=3)
    first = publish(lake, gate(lake, one))
    second = publish(lake, gate(lake, two))
    assert {key_of(one), key_of(two)} <= set(table_of(lake).partitions())
    assert second["version"] == first["version"] + 1
    assert second["digest"] != first["digest"]
    assert key_of(two) not in table_of(lake).partitions(first["version"])
    for version in (first["version"], second["version"]):
        assert len(rows_of(lake, key_of(one), version)) == one["staged"]["rows"]
    assert table_of(lake).digest(first["version"]) == first["digest"]
    assert not rows_of(lake, key_of(one)).prediction.equals(rows_of(lake, key_of(two)).prediction)


def test_refused_predictions_are_not_published_and_the_table_stays_as_it_was(lake: World, tmp_path: Path) -> None:
    strict = with_suite(lake, tmp_path / "strict", {"max_value": 1})
    before = state(strict)
    training = train(strict, rounds=4)
    with pytest.raises(GateRefused, match="predictions gate refused the holdout predictions") as caught:
        gate(strict, training)
    assert caught.value.page.is_file()
    kept = strict.settings.store / "quarantine" / "late" / key_of(training)
    assert len(pd.read_parquet(kept / "rows.parquet")) == training["staged"]["rows"]
    assert [row.verdict for row in find_checks(strict.settings, "late")] == ["refused"]
    assert state(strict) == before


def test_gate_and_publish_can_run_again_after_everything_is_published(lake: World) -> None:
    training = train(lake)
    gated = gate(lake, training)
    publish(lake, gated)
    before = state(lake)
    [partition] = read_manifest(lake.settings, training["staged"]).partitions
    assert not (lake.settings.store / str(partition.path)).exists()
    assert gate(lake, training) == gated
    assert publish(lake, gated)["changed"] == 0
    assert state(lake) == before


def test_a_new_suite_has_equal_predictions_judged_and_published_again(lake: World, tmp_path: Path) -> None:
    training = train(lake)
    publish(lake, gate(lake, training))
    old = table_of(lake).partitions()[key_of(training)]
    other = with_suite(lake, tmp_path / "other", {"min_value": 2})
    assert publish(other, gate(other, train(other)))["changed"] == 1
    new = table_of(lake).partitions()[key_of(training)]
    assert new.digest == old.digest
    assert new.inputs != old.inputs


def test_staging_again_under_the_same_attempt_leaves_a_published_file_alone(lake: World) -> None:
    training = train(lake, rounds=5)

    def stage() -> Document:
        now = datetime(2013, 1, 26, tzinfo=UTC)
        return stage_predictions(lake.settings, "late", now, training, attempt="same", suite_digest="x")

    [partition] = read_manifest(lake.settings, stage()).partitions
    publish(lake, gate(lake, training | {"staged": stage()}))
    published = table_of(lake).published_file(partition)
    assert published is not None
    before = (published.stat().st_ino, published.read_bytes())
    staged = lake.settings.store / str(partition.path)
    staged.hardlink_to(published)  # as a publisher leaves it that was killed right after its commit
    stage()
    assert (published.stat().st_ino, published.read_bytes()) == before
    assert staged.stat().st_ino != before[0]


def test_the_digest_covers_which_rows_were_predicted(lake: World) -> None:
    training = train(lake)
    rows = pd.read_parquet(lake.settings.store / training["predictions"])
    digests = set()
    for name, shift in (("same", 0), ("moved", 1)):
        moved = lake.settings.store / f"{name}.parquet"
        rows.assign(_row=rows["_row"] + shift).to_parquet(moved, index=False)
        outputs = training | {"predictions": moved.name}
        staged = stage_predictions(lake.settings, "late", as_of(DAY), outputs, attempt=name, suite_digest="x")
        digests.add(staged["digest"])
    assert len(digests) == 2
