"""What ends by itself is started again, at growing intervals, while nobody starts or stops the stack."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from include.errors import NoriaError
from include.settings import Settings
from include.stack import supervisor as module
from include.stack.instance import Instance, ProcessIdentity, load_instance, save_instance
from include.stack.lifecycle import only_one
from include.stack.processes import Service, is_alive, start, stop, wait_for
from include.stack.supervisor import Backoff, Supervisor

SLEEPS = [sys.executable, "-c", "import time; time.sleep(60)"]


@dataclass
class World:
    """A stack of sleeping services in a folder, and a PostgreSQL whose condition the test says."""

    home: Path
    condition: str = "running"
    postgres_began: float = 0.0
    starts: list[str] = field(default_factory=list)
    failure: Exception | None = None

    @property
    def supervisor(self) -> Supervisor:
        """Its supervisor, which this process plays."""
        return Supervisor(Settings.from_environment({"NORIA_HOME": str(self.home)}), os.getpid())

    def service(self, name: str) -> Service:
        return Service(name, SLEEPS, {}, self.home / f"{name}.log", ready=lambda: True)

    def stack(self, _: Settings, instance: Instance) -> Any:
        postgres = SimpleNamespace(
            condition=lambda: self.condition, started=lambda: self.postgres_began, start=self._start_postgres
        )
        return FakeStack(SimpleNamespace(home=self.home), instance, postgres)

    def _start_postgres(self) -> None:
        self.starts.append("postgres")
        if self.failure is not None:
            raise self.failure
        self.condition = "running"

    @property
    def processes(self) -> dict[str, ProcessIdentity]:
        instance = load_instance(self.home)
        assert instance is not None
        return {name: process for name, process in instance.processes.items() if name != "supervisor"}

    def kill(self, name: str) -> ProcessIdentity:
        process = self.processes[name]
        os.kill(process.pid, signal.SIGKILL)
        assert wait_for(lambda: not is_alive(process), 10, 0.01)
        return process


@dataclass(frozen=True)
class FakeStack:
    settings: Any
    instance: Instance
    postgres: Any


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(tmp_path)
    monkeypatch.setattr(module, "Stack", SimpleNamespace(of=made.stack))
    monkeypatch.setattr(module, "services", lambda _: [made.service(name) for name in ("scheduler", "server")])
    me = ProcessIdentity(os.getpid(), psutil.Process().create_time())
    processes = {name: start(made.service(name)) for name in ("scheduler", "server")}
    save_instance(tmp_path, Instance("one", {}, {}, {**processes, "supervisor": me}))
    yield made
    stop([*processes.values(), *(made.processes.values() if (tmp_path / "stack.json").exists() else ())])


def test_a_killed_service_is_started_again_and_counted_and_the_others_are_let_be(world: World) -> None:
    before, supervisor = world.processes, world.supervisor
    assert supervisor.look()
    assert world.processes == before
    world.kill("scheduler")
    assert supervisor.look()
    after = world.processes
    assert is_alive(after["scheduler"])
    assert (after["scheduler"].again, after["server"]) == (1, before["server"])


def test_what_ends_again_at_once_waits_for_its_pause(world: World) -> None:
    supervisor = world.supervisor
    world.kill("scheduler")
    supervisor.look()
    dead = world.kill("scheduler")
    supervisor.look()
    assert world.processes["scheduler"] == dead
    assert wait_for(lambda: supervisor.look() and world.processes["scheduler"].again == 2, 10)


def test_pauses_double_up_to_a_minute_and_are_forgotten_after_a_long_life() -> None:
    now = 1000.0
    backoff = Backoff(lambda: now)

    def pause(name: str = "scheduler") -> float:
        nonlocal now
        began = now
        while not backoff.allows(name):
            now += 0.5
        return now - began

    assert [pause() for _ in range(9)] == [0, 1, 2, 4, 8, 16, 32, 60, 60]
    assert pause("server") == 0, "each has pauses of its own"
    now += 119
    assert pause() == 0
    assert pause() == 60, "it had lasted less than a minute beyond its pause"
    now += 120
    assert [pause(), pause()] == [0, 1]


def test_nothing_is_started_while_somebody_starts_or_stops_the_stack(world: World) -> None:
    dead = world.kill("scheduler")
    with only_one(world.home) as mine:
        assert mine
        assert world.supervisor.look()
    assert world.processes["scheduler"] == dead


def test_a_postgresql_that_died_is_started_and_what_was_connected_to_it_anew(world: World) -> None:
    before = world.processes
    world.condition, world.postgres_began = "died", before["scheduler"].started + 100
    world.supervisor.look()
    after = world.processes
    assert world.starts == ["postgres"]
    assert after["scheduler"].pid != before["scheduler"].pid
    assert is_alive(after["scheduler"])
    assert after["server"] == before["server"], "the server answers without it"


def test_a_postgresql_that_was_stopped_is_left_so_and_nothing_is_started_without_it(world: World) -> None:
    dead = world.kill("scheduler")
    world.condition = "stopped"
    assert world.supervisor.look()
    assert (world.starts, world.processes["scheduler"]) == ([], dead)


@pytest.mark.parametrize("failure", [NoriaError("the disk is full"), OSError("the disk is full")])
def test_a_start_that_fails_is_told_and_tried_again_later(
    world: World, caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    world.condition, world.failure = "died", failure
    supervisor = world.supervisor
    assert supervisor.look()
    assert supervisor.look()
    assert world.starts == ["postgres"], "the second look came within the pause"
    assert "the disk is full" in caplog.text
    world.failure = None
    assert wait_for(lambda: supervisor.look() and world.condition == "running", 10)


@pytest.mark.parametrize("other", [None, ProcessIdentity(1, 0.0)])
def test_it_ends_when_the_stack_has_another_supervisor_or_none(world: World, other: ProcessIdentity | None) -> None:
    instance = load_instance(world.home)
    assert instance is not None
    processes = {**world.processes, **({"supervisor": other} if other else {})}
    save_instance(world.home, replace(instance, processes=processes))
    dead = world.kill("scheduler")
    assert not world.supervisor.look()
    assert world.processes["scheduler"] == dead


def test_it_ends_when_the_stack_is_deleted(world: World) -> None:
    (world.home / "stack.json").unlink()
    assert not world.supervisor.look()
