"""Unpacks what an older version left behind, into a folder and a database of a test's own."""

from __future__ import annotations

import json
import sqlite3
import tarfile
import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from include.registry import database
from include.settings import Settings
from include.spec.loader import find_definition
from include.steps.catalog import load_step
from include.steps.protocol import Document, StepCall

MODEL: Final = "flight_delay"
PLACEHOLDER: Final = "/HOME"
FIRST_LANDED: Final = Path(__file__).with_name("first_landed.tar.xz")


def as_of(day: int) -> datetime:
    """The end of that day of January 2013 in New York."""
    return datetime.fromisoformat(f"2013-01-{day + 1:02d}T00:00:00-05:00")


def unpack(archive: Path, home: Path, database_url: str) -> Settings:
    """Settings of the old store in a new place; nothing of it is brought along yet."""
    home.mkdir()
    with tarfile.open(archive) as packed:
        packed.extractall(home, filter="data")
    for file in home.rglob("*"):
        if file.suffix == ".sql" or file.name == "MLmodel":
            file.write_text(file.read_text().replace(PLACEHOLDER, str(home)))
    with sqlite3.connect(home / "mlflow.db") as connection:
        connection.executescript((home / "mlflow.sql").read_text())
    with database.create(database_url).begin() as connection:
        connection.exec_driver_sql((home / "registry.sql").read_text().replace("%", "%%"))
    return replace(
        Settings.from_environment({"NORIA_HOME": str(home)}),
        models=home / "models",
        expectations=home / "expectations",
        database_url=database_url,
        tracking_url=f"sqlite:///{home / 'mlflow.db'}",
    )


@dataclass(frozen=True)
class OldStore:
    """An unpacked store, and today's steps on it."""

    settings: Settings

    def recorded(self, name: str) -> Any:
        """What the old version noted of itself: ``answers`` or ``history``."""
        return json.loads((self.settings.home / f"{name}.json").read_text())

    def run(self, step: str, day: int, **inputs: Any) -> Document:
        """One step of today's, as of the end of a day."""
        definition = find_definition(self.settings, MODEL)
        attempt = uuid.uuid4().hex[:12]
        call = StepCall(settings=self.settings, definition=definition, as_of=as_of(day), attempt=attempt, inputs=inputs)
        return load_step(step)(call)

    def ingest(self, first: int, last: int) -> Document:
        """The data DAG's steps; returns the output of publishing the features."""
        keys = {"first": f"2013-01-{first:02d}", "last": f"2013-01-{last:02d}", "force": False}
        raw = self.run("gate", last, stage="raw", staged=self.run("ingest", last, **keys))
        published = self.run("publish", last, gate=raw)
        staged = self.run("prepare", last, published=published, force=False)
        return self.run("publish", last, gate=self.run("gate", last, stage="features", staged=staged))

    def train(self, day: int) -> tuple[Document, Document]:
        """The training DAG's steps; returns the decision, and what registering said."""
        training_set = self.run("assemble", day)
        gated = self.run("gate", day, stage="training", training_set=training_set)
        training = self.run("train", day, training_set=training_set, gate=gated)
        self.run("publish", day, gate=self.run("gate", day, stage="predictions", training=training))
        evaluation = self.run("evaluate", day, training=training)
        decision = self.run("decide", day, training=training, evaluation=evaluation)
        return decision, self.run("register", day, training=training, evaluation=evaluation, decision=decision)
