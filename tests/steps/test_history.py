"""A model that reads the past, through the line: training, batch scoring, replay. The values are equal throughout."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pyarrow.parquet as pq
import pytest

from include.features.history import history_digest
from include.lake.score_sources import DeliveredSource, RawSource
from include.lake.table import LakeTable
from include.serving.replaying.rows import later_rows
from include.serving.scoring.past import HistoryChanged, PastSource, check_history
from include.settings import Settings
from include.spec.columns import input_columns
from include.spec.definition import Definition
from include.spec.histories import histories
from include.stack.postgres import Postgres
from include.steps.catalog import load_step
from include.steps.protocol import StepCall
from include.training.run import prepare_job, train_and_log
from include.training.tracking import Tracker
from include.training.training_set import assemble_training_set
from tests.lake.factories import manifest_of
from tests.training.factories import make_definition, make_rows
from tests.training.lake import AS_OF, fill, land, with_suites

pytestmark = pytest.mark.database
LAST = "2013-01-16"


def reading() -> Definition:
    """The late rate of the carrier in the last three days that were known; carriers can be null."""
    definition = make_definition()
    features = {name: feature.model_dump() for name, feature in definition.features.items()}
    group = {
        "by": ["carrier"],
        "over": "3d",
        "values": {"late_rate": {"mean": "delay > 15"}, "trips": "count", "last_delay": {"last": "delay"}},
    }
    return make_definition(
        features=features | {"late_rate": {"expression": "recent_late_rate"}, "trips": {"expression": "recent_trips"}},
        history={"recent": group},
    )


@pytest.fixture(scope="module")
def lake(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    folder = tmp_path_factory.mktemp("lake")
    name = f"test_{uuid.uuid4().hex[:12]}"
    postgres.create_database(name)
    settings = Settings.from_environment({"NORIA_HOME": str(folder), "NORIA_DATABASE_URL": postgres.url(name)})
    settings = replace(with_suites(settings, folder), tracking_url=f"sqlite:///{folder}/mlflow.db")
    fill(settings, reading(), make_rows(1500))
    yield settings
    postgres.drop_database(name)


def published(settings: Settings, key: str) -> pd.DataFrame:
    """A partition's rows of the features table."""
    frame: pd.DataFrame = LakeTable(settings, "late", "features").dataset(keys=[key]).to_table().to_pandas()
    return frame.sort_values("_row", ignore_index=True)


def same(found: pd.Series[Any], expected: pd.Series[Any]) -> bool:
    return bool(((found == expected) | (found.isna() & expected.isna())).all())


def test_the_packaged_model_takes_the_past_as_columns_and_answers_as_it_was_trained(
    lake: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = Tracker(lake.tracking_url)
    experiment = tracker.client.create_experiment(tmp_path.name, artifact_location=(tmp_path / "artifacts").as_uri())
    monkeypatch.setattr(tracker, "experiment", lambda _: experiment)
    reference = assemble_training_set(lake, reading(), AS_OF).reference(lake)
    job = prepare_job(lake, reading(), AS_OF, reference)
    output = train_and_log(job, tracker)  # proves the packaged model equal to the trained one on raw rows
    run = tracker.client.get_run(output["run_id"])
    assert run.data.tags["noria.compiled"].startswith("proven equal on ")
    packaged = mlflow.pyfunc.load_model(output["model_uri"]).unwrap_python_model()
    assert list(packaged.columns)[-2:] == ["recent_late_rate", "recent_trips"]
    assert packaged.description["history"] == [
        {
            "model": "late",
            "group": "recent",
            "digest": history_digest(histories(reading())[0]),
            "event_time": "left_at",
            "keys": {"carrier": "string"},
            "columns": {"recent_late_rate": "number", "recent_trips": "integer"},
        }
    ]
    inputs = pq.read_table(job.directory / "holdout_inputs.parquet").to_pandas()
    assert inputs["recent_trips"].nunique() > 10
    assert inputs["recent_late_rate"].isna().any()  # rows without a carrier have no past


def test_batch_scoring_reads_what_training_had(lake: Settings) -> None:
    source = PastSource(lake, reading(), RawSource(lake, reading(), [LAST]), "s-1")
    [part] = source.parts()
    columns = {**input_columns(reading()), "number": "integer", "left_at": "timestamp"}
    rows = pq.read_table(source.rows(part, columns)).to_pandas()  # type: ignore[arg-type]
    expected = published(lake, LAST)
    assert rows["number"].tolist() == expected["number"].tolist()
    for name in ("recent_late_rate", "recent_trips"):
        assert same(rows[name], expected[name])
    plain = RawSource(lake, reading(), [LAST]).parts()[0]
    assert part.content != plain.content  # a past that is replaced has the partition scored again


def test_a_delivered_file_gets_the_past_of_each_rows_own_day(lake: Settings, tmp_path: Path) -> None:
    raw = LakeTable(lake, "late", "raw").dataset(keys=["2013-01-10", LAST]).to_table().to_pandas()
    mixed = raw.sample(frac=1, random_state=3).drop(columns=["_row", "partition", "_digest", "_inputs", "delay"])
    file = lake.store / "landing" / "new.parquet"
    mixed.reset_index(drop=True).to_parquet(file)
    source = PastSource(lake, reading(), DeliveredSource(lake, reading(), [file], "s-2"), "s-2")
    [part] = source.parts()
    columns = {**input_columns(reading()), "number": "integer", "left_at": "timestamp"}
    rows = pq.read_table(source.rows(part, columns)).to_pandas()  # type: ignore[arg-type]
    assert rows["number"].tolist() == mixed["number"].tolist()
    days = pd.concat([published(lake, "2013-01-10"), published(lake, LAST)])
    expected = days.set_index("number").loc[rows["number"]].reset_index()
    for name in ("recent_late_rate", "recent_trips"):
        assert same(rows[name], expected[name])
    source.release(part)


def test_a_version_does_not_read_a_history_that_means_something_else_now() -> None:
    [history] = histories(reading())
    described = {"history": [{"model": "late", "group": "recent", "digest": history_digest(history)}]}
    check_history(reading(), 3, described)
    changed = reading().model_copy(
        update={"history": {"recent": reading().history["recent"].model_copy(update={"over": 2 * history.over})}}
    )
    with pytest.raises(HistoryChanged, match="version 3 reads the history recent"):
        check_history(changed, 3, described)


def test_replayed_requests_bring_what_training_had(lake: Settings) -> None:
    with later_rows(lake, reading(), [LAST], attempt="p-1", labels=True) as later:
        rows = later.read(LAST)
    expected = published(lake, LAST)
    assert [row.values["number"] for row in rows] == expected["number"].tolist()
    found = pd.DataFrame([row.values for row in rows])
    for name in ("recent_late_rate", "recent_trips"):
        assert same(found[name], expected[name])


def test_a_day_that_is_not_ingested_is_replayed_with_its_past(lake: Settings) -> None:
    day = "2013-01-17"
    land(lake, make_rows(40, start=day, days=1))
    with later_rows(lake, reading(), [day], attempt="p-2", labels=False) as later:
        values = {row.values["carrier"]: row.values["recent_trips"] for row in later.read(day)}
    assert values.pop(None, 0) == 0
    assert min(values.values()) > 0


def test_publishing_raw_rows_brings_the_servers_files_up_to_date(lake: Settings) -> None:
    # Nothing is changed in the table: the step is run again, as after a kill between the commit and the files.
    from include.lake.staging import write_manifest

    manifest = manifest_of({}, attempt="again", model="late")
    reference = write_manifest(lake, manifest)
    gate = {"stage": "raw", "verdict": "passed", "page": None, "staged": reference}
    call = StepCall(settings=lake, definition=reading(), as_of=AS_OF, attempt="again", inputs={"gate": gate})
    load_step("publish")(call)
    [pointer] = (lake.store / "history" / "late" / "recent").glob("*/newest.json")
    assert [one["key"] for one in json.loads(pointer.read_text())["partitions"]][-2:] == ["2013-01-17", "2013-01-18"]
