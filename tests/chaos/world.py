"""The worlds that cases work in: one running stack for the whole run, and cheap ones without a stack."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from include.stack.lifecycle import status
from tests.bench.lab import Bench, open_bench
from tests.chaos.subject import END, MODEL, WINDOW, Subject, champion, finish_all, small
from tests.e2e.line import Document, Line, wait
from tests.e2e.models import relax_training_suite

_PATIENCE = 3600.0
"""Seconds for one of the settling runs: how busy the machine is, is not what is tested."""


@dataclass
class World:
    """Everything that a case may use.

    :param folder: scratch folder of this run; the stack's home is below it.
    :param instants: how many times a kill is repeated.
    :param say: prints a line of the table.
    :param lengths: seconds of each work undisturbed; what is not given is measured.
    :param given: a stack that runs already and is not this world's to stop.
    :param is_kept: the stack goes down at the end and stays on disk; the next world of this folder has it settled.
    :param models: the small models that the stack has in production, and what is changed of the flagship for each.
    """

    folder: Path
    instants: int = 20
    say: Callable[[str], None] = print
    lengths: dict[str, float] = field(default_factory=dict)
    given: Line | None = None
    is_kept: bool = False
    models: Mapping[str, Callable[[Document], None]] = field(default_factory=lambda: {MODEL: small})

    @cached_property
    def line(self) -> Line:
        """The running stack, started when first asked for, with the small models in production."""
        if self.given is not None:
            settle(self.given, self.models)
            return self.given
        line, settled = Line(self.folder / "line"), self.folder / "settled"
        if settled.exists():
            self.mend(line)
            for name in self.models:
                finish_all(line, name, 900)
            return line
        if line.home.exists():  # it was cut before it was settled
            line.command("clean", seconds=120)
            shutil.rmtree(line.home)
        line.home.mkdir(parents=True)
        line.copy_project()
        for file in (line.home / "dags").glob("[!_]*.py"):  # what is parsed costs a processor's time
            if file.stem not in ("flight_delay", "noria_alerts"):
                file.unlink()
        self.mend(line)
        settle(line, self.models)
        settled.touch()
        return line

    @cached_property
    def subject(self) -> Subject:
        """The small model :data:`MODEL`, asked twenty times a second."""
        return Subject(self.line, MODEL)

    @staticmethod
    def bench(**training: Any) -> AbstractContextManager[Bench]:
        """A world without a stack: PostgreSQL, MLflow on SQLite, a store with landed data; gone at the block's end."""
        return open_bench(**training)

    @staticmethod
    def mend(line: Line) -> None:
        """`make up`, as a person does after something died."""
        done = line.command("up")
        assert done.returncode == 0, done.stdout + done.stderr

    @staticmethod
    def heal(line: Line) -> None:
        """Wait until the stack has mended itself, with nobody near."""

        def told() -> dict[str, str]:
            return {name: str(one) for name, one in status(line.stack.settings).items()}

        wait(lambda: all(one.startswith("running") for one in told().values()), 240, lambda: f"not healed: {told()}")

    def close(self) -> None:
        """Stop what was started, and delete it."""
        if "subject" in self.__dict__:
            self.subject.close()
        if self.is_kept:
            Line(self.folder / "line").command("down", seconds=120)
            return
        if (self.folder / "line").exists():
            Line(self.folder / "line").command("clean", seconds=120)
        shutil.rmtree(self.folder, ignore_errors=True)


def settle(line: Line, models: Mapping[str, Callable[[Document], None]]) -> None:
    """Define the small models, land their sources, ingest their windows, train and deploy their first versions."""
    for name, change in models.items():
        line.define(name, "flight_delay", change)
        relax_training_suite(line.home / "expectations", name)
    line.land_flights()
    landing = line.settings.store / "landing"
    for name in models:
        shutil.copytree(landing / "flights", landing / name)
    for name in models:
        line.wait_for_dag(f"{name}.retire", 180)
    first, last = WINDOW
    for family, conf in (("data", {"as_of": END, "first": first, "last": last}), ("train", {"as_of": END})):
        for name in models:
            line.trigger(f"{name}.{family}", "settle", conf)
        for name in models:
            state = line.finish(f"{name}.{family}", "settle", _PATIENCE)
            assert state == "success", line.tasks(f"{name}.{family}", "settle")
    for name in models:
        wait(lambda name=name: champion(line, name) is not None, 300, "the first version was never deployed")  # type: ignore[misc]
        finish_all(line, name)


@contextmanager
def opened(folder: Path, instants: int, say: Callable[[str], None] = print) -> Iterator[World]:
    """A world that is closed at the block's end, whatever happened."""
    world = World(folder, instants, say)
    try:
        yield world
    finally:
        world.close()
