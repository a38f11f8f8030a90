"""Drafted suites pass on the sample that they are drafted from, and refuse it when it is broken."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from include.datasets import land
from include.drafting.__main__ import make_draft, write_draft
from include.drafting.origin import Database
from include.gates.columns import stage_columns
from include.gates.engine import Evaluator
from include.gates.suite import check_columns, load_suite
from include.settings import Settings
from include.spec.as_of import resolve_as_of
from include.spec.definition import Definition
from include.spec.loader import find_definition, load_definition
from include.spec.windows import needed_partitions
from include.steps.catalog import load_step
from include.steps.protocol import Document, StepCall
from tests.drafting.factories import empty_project, parcels, write
from tests.lake.sql_world import connected

SAMPLE = parcels()
DAYS = [day for _, day in SAMPLE.groupby(SAMPLE["sent_at"].dt.date)]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Evaluator:
    """The drafted suite of raw partitions."""
    folder = tmp_path_factory.mktemp("drafted")
    settings = empty_project(Settings.from_environment({"NORIA_HOME": str(folder / "home")}), folder / "project")
    [path, *_] = write_draft(settings, make_draft(settings, "late_parcels", write(SAMPLE, folder / "sample.csv")))
    definition = load_definition(path)
    for stage in ("raw", "features", "training", "predictions"):
        check_columns(load_suite(settings, "late_parcels", stage), stage_columns(definition, stage))  # type: ignore[arg-type]
    return Evaluator(load_suite(settings, "late_parcels", "raw"))


def verdict(raw: Evaluator, frame: pd.DataFrame) -> str:
    return raw.judge(frame.reset_index(drop=True), subject="a day").verdict


def test_every_day_of_the_sample_passes(raw: Evaluator) -> None:
    assert {verdict(raw, day) for day in DAYS} == {"passed"}


BREAK: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "no rows": lambda day: day.head(0),
    "rows twice": lambda day: pd.concat([day, day.head(1)]),
    "far too many rows": lambda day: pd.concat([day.assign(parcel=day["parcel"] + n * 10_000) for n in range(5)]),
    "a key is missing": lambda day: day.assign(parcel=day["parcel"].where(day.index != day.index[0])),
    "another unit": lambda day: day.assign(weight=day["weight"] * 1000),
    "below zero": lambda day: day.assign(weight=-day["weight"]),
    "columns slipped": lambda day: day.assign(service=day["note"]),
    "no answers": lambda day: day.assign(late=None),
    "a column is gone": lambda day: day.drop(columns=["service"]),
}


@pytest.mark.parametrize("how", BREAK)
def test_a_broken_day_is_refused(raw: Evaluator, how: str) -> None:
    assert verdict(raw, BREAK[how](DAYS[20])) == "refused"


def test_a_day_with_many_gaps_is_a_warning(raw: Evaluator) -> None:
    gaps = DAYS[20].assign(weight=np.where(np.arange(len(DAYS[20])) % 5 > 0, np.nan, DAYS[20]["weight"]))
    result = raw.judge(gaps.reset_index(drop=True), subject="a day")
    assert result.verdict == "passed"
    assert [check.severity for check in result.checks if not check.success] == ["warning"]


@pytest.mark.database
def test_a_real_table_goes_the_whole_way_through_its_drafted_gates_to_a_model(
    stored_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = replace(empty_project(stored_settings, tmp_path / "project"), tracking_url=f"sqlite:///{tmp_path}/ml.db")
    land(settings, "bike_demand")
    landed = pd.read_csv(settings.store / "landing" / "bike_rentals.csv", parse_dates=["rented_at"])
    engine = sa.create_engine(settings.database_url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        landed[landed["rented_at"] >= "2012-07"].to_sql("rentals", connection, index=False, chunksize=2_000)
    source = Database(connection="shop", url=settings.database_url, table="rentals")
    write_draft(settings, make_draft(settings, "bikes", source, zone="America/New_York"))
    definition = find_definition(settings, "bikes")
    assert (definition.task, definition.source.type, definition.source.partition) == ("regression", "sql", "day")
    evaluation = _through_the_steps(connected(settings, settings.database_url), definition)
    assert evaluation["improvements"]["naive"]["rmse"]["low"] > 0


def _through_the_steps(settings: Settings, definition: Definition) -> Document:
    now = None if definition.source.has_time else datetime(2026, 3, 1, tzinfo=UTC)
    as_of = resolve_as_of(definition, requested=None, partition_key=None, data_interval_end=now)

    def run(step: str, **inputs: Any) -> Document:
        attempt = uuid.uuid4().hex
        call = StepCall(settings=settings, definition=definition, as_of=as_of, attempt=attempt, inputs=inputs)
        return load_step(step)(call)

    keys = [partition.key for partition in needed_partitions(definition, as_of)]
    staged = run("ingest", first=keys[0], last=keys[-1])
    raw = run("publish", gate=run("gate", stage="raw", staged=staged))
    prepared = run("prepare", published=raw)
    run("publish", gate=run("gate", stage="features", staged=prepared))
    training_set = run("assemble")
    run("gate", stage="training", training_set=training_set)
    training = run("train", training_set=training_set)
    run("gate", stage="predictions", training=training)
    return run("evaluate", training=training)


@pytest.mark.database
def test_real_data_without_time_goes_the_whole_way_too(
    stored_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = replace(empty_project(stored_settings, tmp_path / "project"), tracking_url=f"sqlite:///{tmp_path}/ml.db")
    land(settings, "tumor_malignant")
    write_draft(settings, make_draft(settings, "tumors", settings.store / "landing" / "tumors.csv"))
    definition = find_definition(settings, "tumors")
    assert (definition.label.expression, definition.source.entity) == ("diagnosis = 'malignant'", ["sample"])
    evaluation = _through_the_steps(settings, definition)
    assert evaluation["improvements"]["naive"]["log_loss"]["low"] > 0
