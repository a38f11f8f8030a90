"""Data without time through the steps: deliveries replace each other, parts stay apart, as-of reads what was known."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from include.datasets import land
from include.errors import NothingToDo
from include.lake.deliveries import NewerDelivery, NotDeliveredYet
from include.lake.table import LakeTable
from include.registry.state import switch_champion
from include.registry.versions import register_version
from include.settings import Settings
from include.spec.definition import Definition, Drift
from include.spec.loader import find_definition
from include.spec.share import Share
from include.stack.postgres import Postgres
from include.steps.catalog import load_step
from include.steps.ingest import PartitionNotThere
from include.steps.monitor import NothingNew
from include.steps.protocol import Document, StepCall
from include.training.refusals import PartTooSmall, TooManyMissing

pytestmark = pytest.mark.database

MODEL = "tumor_malignant"
FIRST = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
SECOND = FIRST + timedelta(days=7)


@dataclass(frozen=True)
class Line:
    """The steps of the packaged model without time, with a lake and a registry of their own."""

    settings: Settings

    @property
    def definition(self) -> Definition:
        """The packaged one, with quick resampling."""
        found = find_definition(self.settings, MODEL)
        evaluation = found.evaluation.model_copy(update={"bootstrap_rounds": 100})
        training = found.training.model_copy(update={"rounds": 30})
        return found.model_copy(update={"evaluation": evaluation, "training": training})

    def run(self, step: str, as_of: datetime, definition: Definition | None = None, **inputs: Any) -> Document:
        call = StepCall(
            settings=self.settings,
            definition=definition or self.definition,
            as_of=as_of,
            attempt=uuid.uuid4().hex,
            inputs=inputs,
        )
        return load_step(step)(call)

    @property
    def file(self) -> Path:
        return self.settings.store / "landing" / "tumors.csv"

    def publish(self, as_of: datetime) -> Document:
        """What the data DAG does; returns the publication of the features."""
        staged = self.run("ingest", as_of)
        raw = self.run("publish", as_of, gate=self.run("gate", as_of, stage="raw", staged=staged))
        prepared = self.run("prepare", as_of, published=raw)
        return self.run("publish", as_of, gate=self.run("gate", as_of, stage="features", staged=prepared))

    def train(self, as_of: datetime, definition: Definition | None = None) -> Document:
        training_set = self.run("assemble", as_of, definition)
        return self.run("train", as_of, definition, training_set=training_set)

    def crown(self, training: Document, as_of: datetime, **changes: Any) -> int:
        values = {key: training[key] for key in ("fingerprint", "run_id", "artifact_digest", "model_uri")}
        values |= {"as_of": as_of, "windows": training["training_set"]["windows"]} | changes
        version = register_version(self.settings, MODEL, **values).version.version
        switch_champion(self.settings, MODEL, version, actor="test", reason="test", force=True)
        return version

    def samples(self, training_set: Document, part: str) -> set[int]:
        return set(pd.read_parquet(self.settings.store / training_set["directory"] / f"{part}.parquet")["sample"])

    def deliver_more(self) -> None:
        """Half as many new samples beside the old ones, and all of them twice as large."""
        old = pd.read_csv(self.file)
        new = old.iloc[::2].assign(sample=lambda rows: rows["sample"] + 1000)
        larger = pd.concat([old, new]).assign(mean_radius=lambda rows: rows["mean_radius"] * 2)
        larger.assign(worst_radius=larger["worst_radius"] * 2).to_csv(self.file, index=False)


@pytest.fixture
def line(stored_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Line:
    monkeypatch.chdir(tmp_path)
    settings = replace(stored_settings, tracking_url=f"sqlite:///{tmp_path}/ml.db")
    land(settings, MODEL)
    return Line(settings)


def test_a_delivery_is_one_partition_and_the_same_again_changes_nothing(line: Line) -> None:
    published = line.publish(FIRST)
    assert (published["first"], published["last"], published["rows"], published["changed"]) == ("all", "all", 569, 1)
    raw = LakeTable(line.settings, MODEL, "raw")
    version = raw.version()
    assert line.run("ingest", SECOND)["unchanged"] == 1
    assert raw.version() == version


def test_a_missing_delivery_is_waited_for_with_its_path(line: Line) -> None:
    line.file.unlink()
    with pytest.raises(PartitionNotThere, match=r"The data has not arrived: there is no file .*tumors\.csv"):
        line.run("ingest", FIRST)


def test_before_anything_is_published_a_training_is_refused_with_the_cure(line: Line) -> None:
    with pytest.raises(TooManyMissing, match=rf"no data is published\. Trigger the DAG {MODEL}\.data"):
        line.run("assemble", FIRST)


def test_a_run_as_of_the_past_reads_the_delivery_of_then_and_ingests_none(line: Line) -> None:
    line.publish(FIRST)
    first = line.run("assemble", FIRST)
    line.deliver_more()
    line.publish(SECOND)
    assert line.run("assemble", SECOND)["digest"] != first["digest"]
    assert line.run("assemble", SECOND - timedelta(seconds=1)) == first
    with pytest.raises(NotDeliveredYet, match="first delivery was ingested as of 2026-03-01T10:00:00"):
        line.run("assemble", FIRST - timedelta(seconds=1))
    with pytest.raises(NewerDelivery, match="cannot be ingested for the past"):
        line.run("ingest", SECOND - timedelta(seconds=1))


def test_a_sample_is_in_the_same_part_of_every_delivery_and_in_one_only(line: Line) -> None:
    line.publish(FIRST)
    before = line.run("assemble", FIRST)
    line.deliver_more()
    line.publish(SECOND)
    after = line.run("assemble", SECOND)
    parts = {part: (line.samples(before, part), line.samples(after, part)) for part in before["rows"]}
    assert all(old < new for old, new in parts.values())
    assert sum(len(new) for _, new in parts.values()) == len(set().union(*(new for _, new in parts.values())))
    shares = {part: len(new) / 854 for part, (_, new) in parts.items()}
    assert shares == pytest.approx({"train": 0.60, "validation": 0.15, "holdout": 0.25}, abs=0.04)


def test_a_part_that_is_too_small_names_the_share_that_makes_it_larger(line: Line) -> None:
    line.publish(FIRST)
    small = _changed(line.definition, "training", validation=Share(100))
    with pytest.raises(PartTooSmall, match=r"25% to 26% of the hash of sample.*Make training\.validation larger"):
        line.run("assemble", FIRST, small)


@dataclass(frozen=True)
class Story:
    """What the steps gave, in this order: a champion, a look for drift, scores, another delivery, a challenger."""

    line: Line
    trained: Document
    itself: Document
    wider: Document
    nothing_new: NothingToDo
    scores: pd.DataFrame
    challenger: Document
    evaluation: Document
    checks: list[Document]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[Story]:
    home = tmp_path_factory.mktemp("whole")
    postgres.create_database("whole_data")
    settings = Settings.from_environment({"NORIA_HOME": str(home)})
    settings = replace(settings, database_url=postgres.url("whole_data"), tracking_url=f"sqlite:///{home}/ml.db")
    land(settings, MODEL)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        yield _told(Line(settings))
    postgres.drop_database("whole_data")


def _told(line: Line) -> Story:
    line.publish(FIRST)
    with pytest.raises(NothingToDo, match="no champion"):
        line.run("monitor", FIRST)
    trained = line.train(FIRST)
    version = line.crown(trained, FIRST)
    with pytest.raises(NothingToDo) as nothing_new:
        line.run("monitor", FIRST + timedelta(days=1))
    itself = line.run("evaluate", FIRST, training=trained)
    wider = _changed(line.definition, "training", holdout=Share(4000))
    compared = line.run("evaluate", FIRST, wider, training=line.train(FIRST, wider))
    line.run("score", FIRST, version=version)
    scores = LakeTable(line.settings, MODEL, "scores").dataset().to_table().to_pandas()
    line.deliver_more()
    line.publish(SECOND)
    challenger = line.train(SECOND)
    strict = _changed(line.definition, "monitoring", drift=Drift.model_validate({"share_of_features": 0.05}))
    return Story(
        line=line,
        trained=trained,
        itself=itself,
        wider=compared,
        nothing_new=nothing_new.value,
        scores=scores,
        challenger=challenger,
        evaluation=line.run("evaluate", SECOND, training=challenger),
        checks=[line.run("monitor", SECOND + timedelta(days=days), strict) for days in (0, 1, 3)],
    )


def _changed(definition: Definition, section: str, **values: Any) -> Definition:
    return definition.model_copy(update={section: getattr(definition, section).model_copy(update=values)})


def test_the_champion_meets_a_later_challenger_on_samples_that_neither_has_seen(story: Story) -> None:
    evaluation, trained = story.evaluation, story.trained["training_set"]
    assert story.itself["comparison"]["status"] == "self"
    assert (evaluation["comparison"]["status"], evaluation["fair"], evaluation["unfair_reason"]) == ("fair", True, None)
    assert evaluation["resampling"] == {"unit": "row", "units": evaluation["rows"], "reason": None}
    seen = story.line.samples(trained, "train") | story.line.samples(trained, "validation")
    assert not seen & story.line.samples(story.challenger["training_set"], "holdout")


def test_with_another_share_only_samples_count_that_the_champion_has_not_seen(story: Story) -> None:
    comparison = story.wider["comparison"]
    assert (comparison["status"], comparison["rows"]) == ("part", story.trained["training_set"]["rows"]["holdout"])
    assert comparison["rows"] + comparison["excluded"] == story.wider["rows"]


def test_the_same_delivery_cannot_have_drifted(story: Story) -> None:
    assert isinstance(story.nothing_new, NothingNew)
    assert "no newer delivery than the one that champion version 1 was trained on" in str(story.nothing_new)


def test_drift_in_a_new_delivery_starts_one_training_within_the_cooldown(story: Story) -> None:
    found, within, after = story.checks
    assert (found["window"]["first"], found["window"]["rows"]) == ("all", 854)
    assert {one["name"] for one in found["features"] if one["drifted"]} == {"mean_radius", "worst_radius"}
    assert [check["drift"] for check in story.checks] == [True, True, True]
    assert [check["retrain"] for check in story.checks] == [True, False, True]
    assert "cooldown" in within["reason"]
    assert found["start_id"] != after["start_id"]
    page = (story.line.settings.store / found["page"]).read_text(encoding="utf-8")
    assert f"the whole data as of {SECOND.isoformat()}" in page


def test_the_whole_table_is_scored_by_its_entity(story: Story) -> None:
    assert set(story.scores["sample"]) == set(range(1, 570))
    assert story.scores["prediction"].between(0, 1).all()


def test_there_is_nothing_later_to_replay(line: Line) -> None:
    with pytest.raises(NothingToDo, match="its data has no time"):
        line.run("replay", FIRST)
