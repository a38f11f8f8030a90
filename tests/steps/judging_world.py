"""A small world for the steps that judge: real lake, real training, real MLflow (on SQLite), real PostgreSQL."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np

from include.lake.staging import read_manifest, write_manifest
from include.registry.state import switch_champion
from include.registry.versions import register_version
from include.settings import Settings
from include.spec.definition import Definition
from include.steps import ingest, prepare
from include.steps import publish as publishing
from include.steps.catalog import load_step
from include.steps.protocol import Document, StepCall
from tests.training.factories import make_definition, make_rows

DAYS = 36
ZONE = "-05:00"


def as_of(day: int) -> datetime:
    """The end of the day of that number; the data starts with day 1, the first of January 2013."""
    local = np.datetime64("2013-01-01") + np.timedelta64(day, "D")
    return datetime.fromisoformat(f"{local}T00:00:00{ZONE}")


def judged_definition(**changes: Any) -> Definition:
    """The factory's definition with slices, all kinds of gates, and quick resampling."""
    evaluation = {
        "metrics": ["roc_auc", "log_loss"],
        "gates": [
            {"metric": "roc_auc", "at_least": 0.6},
            {"metric": "log_loss", "against": "naive"},
            {"metric": "roc_auc", "against": "linear", "margin": -0.1},
            {"metric": "roc_auc", "against": "champion"},
        ],
        "slices": ["carrier"],
        "bootstrap_rounds": 100,
        "threshold": 0.3,
    }
    return make_definition(**{"evaluation": evaluation, **changes})


@dataclass(frozen=True)
class World:
    """Published data, and steps that run on it. Deployments are each test's own: it has a database of its own."""

    settings: Settings
    trained: dict[tuple[int, int, int], Document]

    def in_database(self, url: str) -> World:
        """The same data with another database."""
        return replace(self, settings=replace(self.settings, database_url=url))

    def run(self, step: str, day: int, inputs: Document, definition: Definition | None = None) -> Document:
        """Run a step as of the end of a day."""
        call = StepCall(
            settings=self.settings,
            definition=definition or judged_definition(),
            as_of=as_of(day),
            attempt=uuid.uuid4().hex,
            inputs=inputs,
        )
        return load_step(step)(call)

    def train(self, day: int, *, seed: int = 7, rounds: int = 40) -> Document:
        """The output of train as of a day, trained once for all tests."""
        key = (day, seed, rounds)
        if key not in self.trained:
            definition = judged_definition(training={"seed": seed, "rounds": rounds})
            training_set = self.run("assemble", day, {}, definition)
            self.trained[key] = self.run("train", day, {"training_set": training_set}, definition)
        return self.trained[key]

    def register(self, training: Document, day: int, **changes: Any) -> int:
        """Register a trained model; returns its version."""
        values = {key: training[key] for key in ("fingerprint", "run_id", "artifact_digest", "model_uri")}
        values |= {"as_of": as_of(day), "windows": training["training_set"]["windows"]} | changes
        return register_version(self.settings, "late", **values).version.version

    def crown(self, training: Document, day: int, **changes: Any) -> int:
        """Register a trained model and make it champion; returns its version."""
        version = self.register(training, day, **changes)
        switch_champion(self.settings, "late", version, actor="test", reason="test", force=True)
        return version


def land(settings: Settings, shift: float = 0.0) -> None:
    """Write a file for each day; ``shift`` moves the distances of the last week."""
    rows = make_rows(24_000, days=DAYS)
    days = rows["left_at"].dt.strftime("%Y-%m-%d")
    rows.loc[days >= sorted(set(days))[-7], "distance"] *= 1 + shift
    folder = settings.store / "landing"
    folder.mkdir(parents=True, exist_ok=True)
    for day, part in rows.groupby(days):
        part.to_parquet(folder / f"{day}.parquet", index=False)


def write_suites(settings: Settings) -> Settings:
    """Settings with suites that ask for a row: the gates have a room of their own."""
    folder = settings.home / "expectations"
    (folder / "late").mkdir(parents=True)
    row = {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1}, "severity": "critical"}
    row["meta"] = {"notes": "A partition has rows."}
    for stage in ("raw", "features", "predictions"):
        suite = {"name": f"late.{stage}", "expectations": [row]}
        (folder / "late" / f"{stage}.json").write_text(json.dumps(suite))
    return replace(settings, expectations=folder)


def publish(world: World, last: str) -> None:
    """Bring the landed days through the data steps, the gates apart (they are tested in their own room)."""

    def accepted(staged: Document, stage: str) -> Document:
        gate = {"stage": stage, "verdict": "passed", "page": None}
        manifest = read_manifest(world.settings, staged).judged({}, gate)
        return gate | {"staged": write_manifest(world.settings, manifest, "gated.json")}

    def call(inputs: Document) -> StepCall:
        return StepCall(
            settings=world.settings, definition=judged_definition(), as_of=as_of(DAYS), attempt="t", inputs=inputs
        )

    staged = ingest.run(call({"first": "2013-01-01", "last": last, "force": False}))
    published = publishing.run(call({"gate": accepted(staged, "raw")}))
    features = prepare.run(call({"published": published, "force": False}))
    publishing.run(call({"gate": accepted(features, "features")}))


def report_of(world: World, output: Document) -> str:
    """The HTML of an output's page."""
    return (world.settings.store / output["page"]).read_text(encoding="utf-8")
