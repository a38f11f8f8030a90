from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from include.lake.table import LakeTable
from include.settings import Settings
from include.training import holdout_inputs, part_files, training_set
from include.training.refusals import LabelNotBinary, OneClassOnly, PartTooSmall, TooManyMissing
from include.training.training_set import TrainingSetGone, assemble_training_set, open_directory
from tests.training.factories import make_definition, make_rows
from tests.training.lake import AS_OF, fill, ingest, land, prepare, with_suites

pytestmark = pytest.mark.database


@pytest.fixture
def lake(stored_settings: Settings, tmp_path: Path) -> Settings:
    return with_suites(stored_settings, tmp_path)


def parts(settings: Settings, reference_directory: Path) -> dict[str, pd.DataFrame]:
    return {
        part: pd.read_parquet(reference_directory / f"{part}.parquet") for part in ("train", "validation", "holdout")
    }


def test_windows_are_half_open_and_end_where_labels_are_known(lake: Settings) -> None:
    definition = make_definition()
    rows = make_rows(2000, days=17)
    edges = rows.head(4).assign(
        left_at=np.array(
            ["2013-01-16T23:59:59.999999", "2013-01-17T00:00:00", "2013-01-14T00:00:00", "2013-01-13T23:59:59.999999"],
            dtype="datetime64[us]",
        ),
        number=pd.array([9001, 9002, 9003, 9004], dtype="Int64"),
    )
    fill(lake, definition, pd.concat([rows, edges], ignore_index=True))
    made = assemble_training_set(lake, definition, AS_OF)
    assert made.windows["holdout"]["end"] == "2013-01-17T00:00:00-05:00"
    found = parts(lake, made.directory)
    where = {n: part for part, frame in found.items() for n in frame["number"] if n > 9000}
    assert where == {9001: "holdout", 9003: "holdout", 9004: "validation"}
    assert sum(len(frame) for frame in found.values()) == sum(made.rows.values())


def test_rows_without_label_are_left_out_and_inputs_follow_the_holdout(lake: Settings) -> None:
    definition = make_definition()
    rows = make_rows(2000)
    rows.loc[::7, "delay"] = np.nan
    fill(lake, definition, rows)
    made = assemble_training_set(lake, definition, AS_OF)
    holdout = parts(lake, made.directory)["holdout"]
    inputs = pq.read_table(made.directory / "holdout_inputs.parquet")
    assert inputs.column_names == ["left_at", "carrier", "distance", "seats", "cargo"]
    by_number = rows.set_index("number")
    assert holdout["label"].notna().all()
    assert inputs["distance"].to_pylist() == [
        None if value != value else value for value in by_number.loc[holdout["number"], "distance"]
    ]
    assert holdout[["partition", "_row"]].apply(tuple, axis=1).is_monotonic_increasing


def test_order_of_rows_days_and_another_place_give_the_same_digest(
    lake: Settings, tmp_path: Path, database_url: str
) -> None:
    definition = make_definition()
    rows = make_rows(1500)
    fill(lake, definition, rows)
    first = assemble_training_set(lake, definition, AS_OF)
    elsewhere = replace(lake, home=tmp_path / "other", store=tmp_path / "other" / "store")
    two_threads = make_definition(training={"resources": {"cpu": 1}})
    fill(elsewhere, two_threads, rows, shuffle=3)
    second = assemble_training_set(elsewhere, two_threads, AS_OF)
    assert first.digest == second.digest
    for name in ("train.parquet", "holdout.parquet", "holdout_inputs.parquet"):
        assert (first.directory / name).read_bytes() == (second.directory / name).read_bytes()


def test_a_changed_value_changes_the_digest_and_an_old_version_stays(lake: Settings) -> None:
    definition = make_definition()
    rows = make_rows(1500)
    days = fill(lake, definition, rows)
    before = assemble_training_set(lake, definition, AS_OF)
    rows.loc[len(rows) // 2, "distance"] = 1.0
    land(lake, rows)
    ingest(lake, definition, days, "again")
    prepare(lake, definition, days, "again")
    after = assemble_training_set(lake, definition, AS_OF)
    assert after.digest != before.digest
    assert after.features_version > before.features_version


def test_a_complete_folder_is_used_again_and_a_broken_one_is_replaced(lake: Settings) -> None:
    definition = make_definition()
    fill(lake, definition, make_rows(1500))
    first = assemble_training_set(lake, definition, AS_OF)
    stamp = (first.directory / "train.parquet").stat().st_mtime_ns
    again = assemble_training_set(lake, definition, AS_OF)
    assert again == first
    assert (again.directory / "train.parquet").stat().st_mtime_ns == stamp
    (first.directory / "train.parquet").write_bytes(b"cut")
    with pytest.raises(TrainingSetGone):
        open_directory(lake, first.reference(lake))
    assemble_training_set(lake, definition, AS_OF)
    assert open_directory(lake, first.reference(lake)) == first.directory
    assert sorted(path.name for path in first.directory.parent.iterdir()) == [first.digest]


class TestRefusals:
    def test_missing_partitions_are_named_with_the_way_to_get_them(self, lake: Settings) -> None:
        definition = make_definition()
        rows = make_rows(1500)
        gone = rows["left_at"].dt.day.isin([4, 9])
        fill(lake, definition, rows[~gone])
        with pytest.raises(TooManyMissing, match=r"late\.data with first=2013-01-04 and last=2013-01-09") as caught:
            assemble_training_set(lake, definition, AS_OF)
        assert caught.value.missing == ("2013-01-04", "2013-01-09")
        allowed = make_definition(training={"max_missing_partitions": 2})
        assert assemble_training_set(lake, allowed, AS_OF).missing == ("2013-01-04", "2013-01-09")

    def test_without_any_table_every_partition_is_missing(self, lake: Settings) -> None:
        with pytest.raises(TooManyMissing, match="16 of the 16 partitions"):
            assemble_training_set(lake, make_definition(training={"max_missing_partitions": 99}), AS_OF)

    def test_features_of_an_older_definition_are_out_of_date(self, lake: Settings) -> None:
        definition = make_definition()
        fill(lake, definition, make_rows(1500))
        features = {name: f.model_dump() for name, f in definition.features.items()}
        changed = make_definition(features={**features, "far": {"expression": "distance / 2"}})
        with pytest.raises(TooManyMissing, match="made from other raw rows, definition or suite: 2013-01-01") as caught:
            assemble_training_set(lake, changed, AS_OF)
        assert len(caught.value.stale) == 16

    def test_raw_rows_that_were_replaced_after_their_features_are_not_mixed_in(self, lake: Settings) -> None:
        definition = make_definition()
        rows = make_rows(1500)
        fill(lake, definition, rows)
        before = assemble_training_set(lake, definition, AS_OF)
        rows["distance"] = rows["distance"] + 1
        days = land(lake, rows)
        ingest(lake, definition, days, "restated")
        during = assemble_training_set(lake, definition, AS_OF)
        assert (during.digest, during.raw_version) == (before.digest, before.raw_version)
        assert LakeTable(lake, "late", "raw").version() > during.raw_version

    def test_a_part_with_too_few_rows_is_refused(self, lake: Settings) -> None:
        definition = make_definition()
        rows = make_rows(1500)
        few = rows[(rows["left_at"] < "2013-01-11") | (rows["number"] % 40 == 0)]
        fill(lake, definition, few)
        with pytest.raises(PartTooSmall, match=r"the validation part has .* labelled rows") as caught:
            assemble_training_set(lake, make_definition(training={"max_missing_partitions": 5}), AS_OF)
        assert caught.value.part == "validation"

    def test_a_part_of_one_class_is_refused(self, lake: Settings) -> None:
        definition = make_definition()
        rows = make_rows(1500)
        rows.loc[rows["left_at"] >= "2013-01-14", "delay"] = 99.0
        fill(lake, definition, rows)
        with pytest.raises(OneClassOnly, match=r"labels of the holdout part .* are 1, where both 0 and 1 are needed"):
            assemble_training_set(lake, definition, AS_OF)

    def test_a_label_that_is_no_class_is_refused_but_regression_takes_it(self, lake: Settings) -> None:
        definition = make_definition(label={"expression": "delay"})
        fill(lake, definition, make_rows(1500))
        with pytest.raises(LabelNotBinary):
            assemble_training_set(lake, definition, AS_OF)
        assert assemble_training_set(
            lake, make_definition(label={"expression": "delay"}, task="regression"), AS_OF
        ).rows


def test_another_store_needs_no_leftovers(lake: Settings) -> None:
    definition = make_definition()
    fill(lake, definition, make_rows(1500))
    made = assemble_training_set(lake, definition, AS_OF)
    shutil.rmtree(made.directory)
    assert assemble_training_set(lake, definition, AS_OF) == made


def test_partitions_sorted_one_at_a_time_give_the_same_digest(
    lake: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    definition = make_definition()
    fill(lake, definition, make_rows(1500))
    whole = assemble_training_set(lake, definition, AS_OF)
    files = {path.name: pq.read_table(path) for path in whole.directory.glob("*.parquet")}
    shutil.rmtree(whole.directory)
    monkeypatch.setattr(training_set, "ROWS_AT_ONCE", 1)
    monkeypatch.setattr(holdout_inputs, "ROWS_AT_ONCE", 7)
    monkeypatch.setattr(part_files, "ROW_GROUP_ROWS", 100)
    pieces = assemble_training_set(lake, definition, AS_OF)
    assert pieces.digest == whole.digest
    again = {path.name: pq.read_table(path) for path in pieces.directory.glob("*.parquet")}
    assert {name: table.equals(again[name]) for name, table in files.items()} == dict.fromkeys(files, True)
    assert pq.ParquetFile(pieces.directory / "train.parquet").num_row_groups > 1
    assert not [path for path in pieces.directory.parent.iterdir() if path.name.startswith(".")]
