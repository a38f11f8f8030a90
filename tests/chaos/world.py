"""The worlds that cases work in: one running stack for the whole run, and cheap ones without a stack."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.bench.lab import Bench, open_bench
from tests.chaos.case import Breach, Broken
from tests.chaos.invariants import Answer, Scene, check
from tests.chaos.traffic import Callers
from tests.e2e.line import Document, Line, wait
from tests.e2e.models import relax_training_suite, shorten

MODEL = "chaos"
END = "2014-01-01T00:00:00-05:00"
WINDOW = ("2013-12-12", "2013-12-31")
"""The days from which it trains; no case changes their source."""


@dataclass
class World:
    """Everything that a case may use.

    :param folder: scratch folder of this run; the stack's home is below it.
    :param instants: how many times a kill is repeated.
    :param say: prints a line of the table.
    :param lengths: seconds of each work undisturbed; what is not given is measured.
    :param given: a stack that runs already and is not this world's to stop.
    """

    folder: Path
    instants: int = 20
    say: Callable[[str], None] = print
    known: dict[str, Any] = field(default_factory=dict)
    lengths: dict[str, float] = field(default_factory=dict)
    told: set[Breach] = field(default_factory=set)
    numbers: int = 0
    given: Line | None = None

    @cached_property
    def line(self) -> Line:
        """The running stack, started when first asked for, with the small model :data:`MODEL` in production."""
        if self.given is not None:
            settle(self.given)
            return self.given
        line = Line(self.folder / "line")
        line.home.mkdir(parents=True)
        line.copy_project()
        for file in (line.home / "dags").glob("[!_]*.py"):  # what is parsed costs a processor's time
            if file.stem not in ("flight_delay", "noria_alerts"):
                file.unlink()
        self.mend(line)
        settle(line)
        return line

    @cached_property
    def callers(self) -> Callers:
        """Traffic on the small model, for as long as the run lasts; remembers every answer."""
        callers = Callers(self.line.settings.server_url, MODEL, self.source / f"{WINDOW[1]}.parquet")
        callers.start()
        wait(lambda: bool(callers.answers()), 60, lambda: f"nobody was ever answered: {callers.refused[:1]}")
        return callers

    @property
    def source(self) -> Path:
        """Folder of the small model's landed files, which cases may change before the window."""
        return self.line.settings.store / "landing" / MODEL

    @staticmethod
    def bench(**training: Any) -> AbstractContextManager[Bench]:
        """A world without a stack: PostgreSQL, MLflow on SQLite, a store with landed data; gone at the block's end."""
        return open_bench(**training)

    @staticmethod
    def mend(line: Line) -> None:
        """`make up`, as a person does after something died."""
        done = line.command("up")
        assert done.returncode == 0, done.stdout + done.stderr

    def scene(self, answers: list[Answer] | None = None) -> Scene:
        """The running stack's model as the checker sees it."""
        given = self.callers.answers() if answers is None else answers
        return Scene(self.line.settings, MODEL, self.source, given, self.known)

    def check(self, patience: float = 0) -> None:
        """Check every invariant of the running stack's model.

        :param patience: seconds for what comes by itself, such as the outbox's deliveries.
        :raises Broken: with all that does not hold, but what an earlier check has told.
        """
        deadline = time.monotonic() + patience
        while breaches := [breach for breach in check(self.scene()) if breach not in self.told]:
            if time.monotonic() > deadline:
                self.told.update(breaches)
                raise Broken(breaches)
            time.sleep(1)

    def number(self) -> int:
        """A number that this world has not given out yet, for names of runs."""
        self.numbers += 1
        return self.numbers

    def close(self) -> None:
        """Stop what was started, and delete it."""
        if "callers" in self.__dict__:
            self.callers.stop()
        if (self.folder / "line").exists():
            Line(self.folder / "line").command("clean", seconds=120)
        shutil.rmtree(self.folder, ignore_errors=True)


def settle(line: Line) -> None:
    """Define the small model, land its source, ingest its window, train and deploy its first version."""
    line.define(MODEL, "flight_delay", small)
    relax_training_suite(line.home / "expectations", MODEL)
    line.land_flights()
    shutil.copytree(line.settings.store / "landing" / "flights", line.settings.store / "landing" / MODEL)
    line.wait_for_dag(f"{MODEL}.retire", 180)
    first, last = WINDOW
    for family, conf in (("data", {"as_of": END, "first": first, "last": last}), ("train", {"as_of": END})):
        line.trigger(f"{MODEL}.{family}", "settle", conf)
        state = line.finish(f"{MODEL}.{family}", "settle", 900)
        assert state == "success", line.tasks(f"{MODEL}.{family}", "settle")
    wait(lambda: champion(line) is not None, 300, "the first version was never deployed")
    finish_all(line)


def small(document: Document) -> None:
    """The flagship with windows of days, a source of its own, one canary that wants little, no schedule."""
    shorten(document)
    document["source"]["path"] = "{store}/landing/" + MODEL + "/{partition}.parquet"
    document["schedule"] = {}
    document["monitoring"] = {"drift": {"window": "5d"}, "retrain": {"on_drift": False}}
    document["deployment"] = {
        "stages": [{"canary": 30}, "champion"],
        "evidence": {"requests": 30, "timeout": "5m"},
        "rollback": {"error_rate": 0.2, "added_ms": 1000, "prediction_shift": 2.0},
    }


def champion(line: Line) -> int | None:
    """The version in production."""
    found = line.rows("SELECT version FROM deployment_state WHERE model = :m AND role = 'champion'", m=MODEL)
    return found[0]["version"] if found else None


FAMILIES = ("data", "train", "deploy", "score", "monitor")


def unfinished(line: Line) -> list[tuple[str, str]]:
    """Runs of the small model that have not ended: DAG and run."""
    return [
        (f"{MODEL}.{family}", run["dag_run_id"])
        for family in FAMILIES
        for run in line.api.runs(f"{MODEL}.{family}")
        if run["state"] not in ("success", "failed")
    ]


def finish_all(line: Line, seconds: float = 300) -> None:
    """Wait until no run of the small model is under way, those that others started included."""
    for _ in range(10):
        under_way = unfinished(line)
        if not under_way:
            return
        for dag_id, run_id in under_way:
            line.finish(dag_id, run_id, seconds)


@contextmanager
def opened(folder: Path, instants: int, say: Callable[[str], None] = print) -> Iterator[World]:
    """A world that is closed at the block's end, whatever happened."""
    world = World(folder, instants, say)
    try:
        yield world
    finally:
        world.close()
