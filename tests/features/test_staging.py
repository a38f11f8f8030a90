"""Features of published rows: the same rows in the same order, recomputed only when something changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.features.errors import FeatureFailed
from include.features.staging import FeaturesStage
from include.lake.paths import from_store
from include.lake.staging import StagedPartition
from include.lake.table import LakeTable
from include.lake.workers import LocalWorkers
from include.settings import Settings
from include.spec.definition import Definition
from tests.lake.factories import PASSED, land, make_definition, make_rows, manifest_of, publish_raw

pytestmark = pytest.mark.database
ONE, TWO = "2024-01-01", "2024-01-02"
MODULE: dict[str, Any] = {
    "path": "orders_features.py",
    "inputs": ["price", "shop", "express"],
    "columns": {"price": "numeric", "shop": "category", "express": "boolean"},
}
COMPUTE = """
import pandas as pd
def compute(rows):
    return pd.DataFrame({"price": rows["price"] * 2, "shop": rows["shop"].str.lower(), "express": rows["express"]})
"""


def features_table(settings: Settings) -> LakeTable:
    return LakeTable(settings, "orders", "features")


def stage_features(
    settings: Settings, definition: Definition, keys: Sequence[str], attempt: str = "f-1", **options: Any
) -> dict[str, StagedPartition]:
    stage = FeaturesStage(settings, definition, attempt, "suite")
    raw = LakeTable(settings, "orders", "raw")
    staged = stage.stage(keys, raw, features_table(settings).partitions(), **options)
    return {partition.key: partition for partition in staged}


def publish_features(settings: Settings, definition: Definition, keys: Sequence[str], attempt: str = "f-1") -> None:
    staged = stage_features(settings, definition, keys, attempt)
    manifest = manifest_of(staged, table="features", attempt=attempt)
    features_table(settings).publish(manifest, attempt=attempt, gate=PASSED)


def rows_of(settings: Settings, partition: StagedPartition) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(from_store(settings, partition.path or "")).to_pylist()
    return rows


def with_module(settings: Settings, code: str) -> tuple[Settings, Definition]:
    folder = settings.home / "models"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "orders_features.py").write_text(code)
    return replace(settings, models=folder), make_definition(features={}, feature_module=MODULE)


def test_rows_keep_their_numbers_and_get_features_and_label(stored_settings: Settings) -> None:
    land(stored_settings, ONE)
    publish_raw(stored_settings, make_definition(), [ONE])
    rows = rows_of(stored_settings, stage_features(stored_settings, make_definition(), [ONE])[ONE])
    assert [row["_row"] for row in rows] == [0, 1, 2, 3, 4]
    assert [row["number"] for row in rows] == [0, 1, 2, 3, 4]
    assert [row["feature_price"] for row in rows] == [1.0, 3.0, 5.0, 7.0, 9.0]
    assert rows[0]["feature_shop"] == "south"
    assert [row["label"] for row in rows] == [0.0, 0.0, 0.0, 1.0, 1.0]


def test_unchanged_inputs_are_not_computed_again_unless_forced(stored_settings: Settings) -> None:
    land(stored_settings, ONE)
    publish_raw(stored_settings, make_definition(), [ONE])
    publish_features(stored_settings, make_definition(), [ONE])
    assert stage_features(stored_settings, make_definition(), [ONE], "f-2")[ONE].status == "unchanged"
    assert stage_features(stored_settings, make_definition(), [ONE], "f-3", force=True)[ONE].status == "staged"


def test_a_changed_feature_has_all_published_partitions_computed_again(stored_settings: Settings) -> None:
    for key in (ONE, TWO):
        land(stored_settings, key)
    publish_raw(stored_settings, make_definition(), [ONE, TWO])
    publish_features(stored_settings, make_definition(), [ONE, TWO])
    changed = make_definition(features={"price": {"expression": "price * 3"}})
    staged = stage_features(stored_settings, changed, [TWO], "f-2")
    assert {key: partition.status for key, partition in staged.items()} == {ONE: "staged", TWO: "staged"}


def test_a_partition_that_is_not_published_is_missing(stored_settings: Settings) -> None:
    land(stored_settings, ONE)
    publish_raw(stored_settings, make_definition(), [ONE])
    staged = stage_features(stored_settings, make_definition(), [ONE, TWO])
    assert staged[TWO].status == "missing"
    assert staged[ONE].status == "staged"


def test_an_expression_that_fails_on_a_value_refuses_that_partition_and_names_all(stored_settings: Settings) -> None:
    land(stored_settings, ONE)
    land(stored_settings, TWO, make_rows(TWO) | {"shop": ["1", "2", "three", "4", "5"]})
    one = {"shop": ["1", "2", "3", "4", "5"]}
    land(stored_settings, ONE, make_rows(ONE) | one)
    publish_raw(stored_settings, make_definition(), [ONE, TWO])
    definition = make_definition(features={"fine": {"expression": "price"}, "size": {"expression": "shop"}})
    staged = stage_features(stored_settings, definition, [ONE, TWO])
    assert staged[ONE].status == "staged"
    assert staged[TWO].status == "refused"
    problem = staged[TWO].problem or ""
    assert "feature size" in problem
    assert "feature size: the expression 'shop' as DOUBLE fails" in problem
    assert f"partition {TWO}, row 2: shop = 'three'" in problem


def test_batches_at_once_give_the_same_as_one_and_keep_their_refusals_apart(
    stored_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [f"2024-01-{day:02}" for day in range(1, 10)]
    for number, key in enumerate(keys):
        sizes = ["1", "2", "three" if number == 4 else "3", "4", "5"]
        land(stored_settings, key, make_rows(key) | {"shop": sizes})
    publish_raw(stored_settings, make_definition(), keys)
    definition = make_definition(features={"size": {"expression": "shop"}})
    together = stage_features(stored_settings, definition, keys, attempt="together")
    for name in ("_PARTITIONS_AT_ONCE", "_SMALL_ROWS"):
        monkeypatch.setattr(f"include.features.staging.{name}", 2)
    apart = stage_features(stored_settings, definition, keys, attempt="apart")
    assert [apart[key].digest for key in keys] == [together[key].digest for key in keys]
    assert [key for key in keys if apart[key].status == "refused"] == [keys[4]]


def test_an_expression_that_can_never_work_stops_the_step(stored_settings: Settings) -> None:
    land(stored_settings, ONE)
    publish_raw(stored_settings, make_definition(), [ONE])
    definition = make_definition(features={"fine": {"expression": "price"}, "odd": {"expression": "sqrt(at)"}})
    with pytest.raises(FeatureFailed, match="feature odd") as caught:
        stage_features(stored_settings, definition, [ONE])
    assert caught.value.feature == "odd"


def test_a_module_gives_the_rows_that_sql_gives(stored_settings: Settings) -> None:
    for key in (ONE, TWO):
        land(stored_settings, key)
    publish_raw(stored_settings, make_definition(), [ONE, TWO])
    by_sql = stage_features(stored_settings, make_definition(), [ONE, TWO])
    settings, definition = with_module(stored_settings, COMPUTE)
    by_module = stage_features(settings, definition, [ONE, TWO], "f-2")
    assert {k: p.digest for k, p in by_sql.items()} == {k: p.digest for k, p in by_module.items()}


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("compute = 1", "no function"),
        ("import nowhere_at_all", "cannot be executed"),
        ("def compute(rows): return 1", "returned a int"),
        ("def compute(rows): raise ValueError('no')", "ValueError: no"),
        ("def compute(rows): return rows[['price', 'shop']]", "declared are"),
        ("def compute(rows): return rows.head(2)", "2 rows for 5"),
        ("def compute(rows): return rows.iloc[::-1]", "changed the index"),
        ("def compute(rows): return rows.assign(price='x')", "column price is declared numeric, but row 0 holds 'x'"),
        ("def compute(rows): return rows.assign(shop=1)", "column shop is declared category"),
        ("def compute(rows): return rows.assign(express='yes')", "column express is declared boolean"),
    ],
)
def test_a_module_that_breaks_its_promise_refuses_the_partition(
    stored_settings: Settings, code: str, problem: str
) -> None:
    land(stored_settings, ONE)
    publish_raw(stored_settings, make_definition(), [ONE])
    settings, definition = with_module(stored_settings, code)
    staged = stage_features(settings, definition, [ONE])[ONE]
    assert staged.status == "refused"
    assert problem in (staged.problem or "")


def test_nulls_survive_a_module(stored_settings: Settings) -> None:
    rows = make_rows(ONE)
    for name in ("price", "shop", "express"):
        rows[name][1] = None
    land(stored_settings, ONE, rows)
    publish_raw(stored_settings, make_definition(), [ONE])
    settings, definition = with_module(stored_settings, COMPUTE)
    row = rows_of(settings, stage_features(settings, definition, [ONE])[ONE])[1]
    assert (row["feature_price"], row["feature_shop"], row["feature_express"]) == (None, None, None)


def test_an_empty_partition_has_an_empty_features_partition(stored_settings: Settings) -> None:
    path = land(stored_settings, ONE)
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    publish_raw(stored_settings, make_definition(), [ONE])
    staged = stage_features(stored_settings, make_definition(), [ONE])[ONE]
    assert (staged.status, staged.rows) == ("staged", 0)
    assert pa.types.is_float64(pq.read_schema(from_store(stored_settings, staged.path or "")).field("label").type)


def test_partitions_with_many_rows_are_staged_with_little_memory(stored_settings: Settings) -> None:
    definition = make_definition()
    for key in (ONE, TWO):
        rows = make_rows(key, 1200)
        many = {name: (values * 100)[:120_000] for name, values in rows.items()}
        land(stored_settings, key, many | {"number": list(range(120_000))})
    publish_raw(stored_settings, definition, [ONE, TWO])
    little = LocalWorkers(count=1, threads=1, memory="20MiB")
    staged = stage_features(stored_settings, definition, [ONE, TWO], workers=little)
    assert [partition.rows for partition in staged.values()] == [120_000, 120_000]
