"""A small model in the running stack: its landed files, the callers that ask for it, what must hold of it."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.chaos.case import Breach, Broken
from tests.chaos.invariants import Scene, check
from tests.chaos.traffic import Callers
from tests.e2e.line import Document, Line, wait
from tests.e2e.models import shorten

MODEL = "chaos"
END = "2014-01-01T00:00:00-05:00"
WINDOW = ("2013-12-12", "2013-12-31")
"""The days from which it trains; no case changes their source."""
FAMILIES = ("data", "train", "deploy", "score", "monitor")


@dataclass
class Subject:
    """One model as cases see it.

    :param line: the running stack.
    :param model: its name.
    :param rate: how often a second its server is asked.
    :param known: what an earlier check found to be so and cannot change.
    :param told: breaches that were raised already.
    """

    line: Line
    model: str
    rate: float = 20
    known: dict[str, Any] = field(default_factory=dict)
    told: set[Breach] = field(default_factory=set)

    @cached_property
    def callers(self) -> Callers:
        """Traffic on the model, for as long as the run lasts; remembers every answer."""
        file = self.source / f"{WINDOW[1]}.parquet"
        callers = Callers(self.line.settings.server_url, self.model, file, self.rate)
        callers.start()
        wait(lambda: bool(callers.answers()), 60, lambda: f"nobody was ever answered: {callers.refused[:1]}")
        return callers

    @property
    def source(self) -> Path:
        """Folder of its landed files, which cases may change before the window."""
        return self.line.settings.store / "landing" / self.model

    def new_run(self) -> str:
        """A run's id that nobody has."""
        return f"chaos-{uuid.uuid4().hex[:12]}"

    def scene(self) -> Scene:
        """The model as the checker sees it."""
        return Scene(self.line.settings, self.model, self.source, self.callers.answers(), self.known)

    def breaches(self) -> list[Breach]:
        """What does not hold now, but what was told."""
        return [breach for breach in check(self.scene()) if breach not in self.told]

    def check(self, patience: float = 0) -> None:
        """Check every invariant.

        :param patience: seconds for what comes by itself, such as the outbox's deliveries.
        :raises Broken: with all that does not hold, but what an earlier check has told.
        """
        deadline = time.monotonic() + patience
        while breaches := self.breaches():
            if time.monotonic() > deadline:
                self.told.update(breaches)
                raise Broken(breaches)
            time.sleep(1)

    def close(self) -> None:
        """Ask no more."""
        if "callers" in self.__dict__:
            self.callers.stop()


def small(document: Document) -> None:
    """The flagship with windows of days, a source of its own, one canary that wants little, no schedule."""
    shorten(document)
    document["source"]["path"] = "{store}/landing/" + document["model"] + "/{partition}.parquet"
    document["schedule"] = {}
    document["monitoring"] = {"drift": {"window": "5d"}, "retrain": {"on_drift": False}}
    document["deployment"] = {
        "stages": [{"canary": 30}, "champion"],
        "evidence": {"requests": 30, "timeout": "5m"},
        "rollback": {"error_rate": 0.2, "added_ms": 1000, "prediction_shift": 2.0},
    }


def champion(line: Line, model: str) -> int | None:
    """The version in production."""
    found = line.rows("SELECT version FROM deployment_state WHERE model = :m AND role = 'champion'", m=model)
    return found[0]["version"] if found else None


def unfinished(line: Line, model: str) -> list[tuple[str, str]]:
    """Runs of a model that have not ended: DAG and run."""
    return [
        (f"{model}.{family}", run["dag_run_id"])
        for family in FAMILIES
        for run in line.api.runs(f"{model}.{family}")
        if run["state"] not in ("success", "failed")
    ]


def finish_all(line: Line, model: str, seconds: float = 300) -> None:
    """Wait until no run of a model is under way, those that others started included."""
    for _ in range(10):
        under_way = unfinished(line, model)
        if not under_way:
            return
        for dag_id, run_id in under_way:
            line.finish(dag_id, run_id, seconds)
