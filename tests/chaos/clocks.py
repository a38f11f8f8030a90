"""The wall clock jumps two hours; files take long to open, write and sync: under steps, and under requests."""

from __future__ import annotations

import random
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from include.registry import outbox, state
from tests.chaos.case import Broken, Case
from tests.chaos.invariants import Scene, check
from tests.chaos.preloading import Preloaded, moved_clock, slow_disk
from tests.chaos.serving_world import ServingWorld, serving_world
from tests.chaos.small_line import MODEL, SmallLine, small_line
from tests.serving.live import serving, until
from tests.serving.load import ClosedLoop

if TYPE_CHECKING:
    from tests.chaos.world import World

_JUMP = 7200
_SECONDS_BETWEEN_JUMPS = (0.05, 0.5)
_MICROSECONDS = (1_000, 30_000)
_SOME = 300
_CONVERGENCE = 60.0


def clock_in_steps(world: World, chance: random.Random) -> str:
    """The clock of steps jumps again and again, from ingest to monitor; PostgreSQL's own stays right."""
    with moved_clock() as clock, small_line(environment=clock.environment) as line:
        with _jumping(clock, chance) as jumps:
            line.data()
            training = line.training()
            version = line.judged(training)["version"]
            _in_production(line)
            monitored = line.step("monitor").done()
        again = line.training()
        assert again["artifact_digest"] == training["artifact_digest"], "another clock has made another model"
        assert line.judged(again)["version"] == version == monitored["champion_version"] == 1
        assert line.step("monitor").done()["window_verdict"] == monitored["window_verdict"]
        _holds(line)
    return f"{len(jumps)} jumps from ingest to monitor; the same model to the bit, one version, every row once"


def clock_of_the_server(world: World, chance: random.Random) -> str:
    """The server's clock jumps under requests and changes of the champion; PostgreSQL's own stays right."""
    with moved_clock() as clock, serving_world(environment=clock.environment) as here:
        with here.load() as loop:
            for number, seconds in enumerate(chance.sample([_JUMP, -_JUMP, 0, 2 * _JUMP, -_JUMP, 0], 6)):
                _after(loop, chance.randrange(_SOME))
                clock.set(seconds)
                _after(loop, chance.randrange(_SOME))
                _switch(here, 2 - number % 2)
        _all_logged(here, loop)
    return f"{len(loop.load.sent)} requests over 6 jumps, all answered by the version in state, and in the log once"


def slow_store(world: World, chance: random.Random) -> str:
    """Files of the store take milliseconds more to open, write and sync, from ingest to monitor."""
    with tempfile.TemporaryDirectory(prefix="noria-slow-") as folder:
        store = Path(folder) / "store"
        with slow_disk(store) as disk, small_line(store, environment=disk.environment) as line:
            delay = chance.randrange(*_MICROSECONDS)
            disk.set(delay)
            line.data()
            training = line.training()
            assert line.judged(training)["version"] == 1
            _in_production(line)
            assert line.step("monitor").done()["champion_version"] == 1
            disk.set(0)
            assert line.training()["artifact_digest"] == training["artifact_digest"]
            _holds(line)
    return f"{delay / 1000:.0f} ms for each; every step went well, and the model is the same to the bit"


def slow_log(world: World, chance: random.Random) -> str:
    """Files of the server's home take milliseconds more to open, write and sync, a random time each while."""
    with tempfile.TemporaryDirectory(prefix="noria-slow-") as folder:
        home = Path(folder) / "home"
        with slow_disk(home) as disk, serving_world(home, disk.environment) as here:
            with here.load() as loop:
                for number in range(4):
                    disk.set(chance.randrange(*_MICROSECONDS))
                    _after(loop, _SOME)
                    _switch(here, 2 - number % 2)
                disk.set(0)
            _all_logged(here, loop)
            slowest = max(one.ended - one.started for one in loop.load.sent)
    return f"{len(loop.load.sent)} requests, all answered and in the log once; the slowest took {slowest:.2f} s"


@contextmanager
def _jumping(clock: Preloaded, chance: random.Random) -> Iterator[list[int]]:
    """The clock jumps for as long as the block, and is right at its end; what it was moved to."""
    jumps: list[int] = []
    ended = threading.Event()

    def jump() -> None:
        while not ended.wait(chance.uniform(*_SECONDS_BETWEEN_JUMPS)):
            jumps.append(chance.choice([_JUMP, -_JUMP, 0]))
            clock.set(jumps[-1])

    thread = threading.Thread(target=jump)
    thread.start()
    try:
        yield jumps
    finally:
        ended.set()
        thread.join()
        clock.set(0)


def _in_production(line: SmallLine) -> None:
    state.switch_champion(line.settings, MODEL, 1, actor="ana", reason="chaos", force=True)
    outbox.deliver(line.settings)  # as a step of a deployment does


def _holds(line: SmallLine) -> None:
    """Every invariant that the checker knows.

    :raises Broken: with all that does not hold.
    """
    for table in ("raw", "features"):
        line.whole(table)
    if breaches := check(Scene(line.settings, MODEL, line.settings.store / "landing")):
        raise Broken(breaches)


def _after(loop: ClosedLoop, requests: int) -> None:
    """Wait until so many more requests were answered."""
    wanted = len(loop.load.sent) + requests
    until(lambda: len(loop.load.sent) >= wanted, 300)


def _switch(here: ServingWorld, version: int) -> None:
    """Another champion, which every worker answers with in the end."""
    here.switch(version)
    until(lambda: all(serving(here.client, version) for _ in range(8)), _CONVERGENCE)


def _all_logged(here: ServingWorld, loop: ClosedLoop) -> None:
    faults = here.check(loop, convergence=_CONVERGENCE)
    assert not faults, faults


CASES: tuple[Case, ...] = (
    Case("fault/clock-in-steps", clock_in_steps.__doc__ or "", clock_in_steps),
    Case("fault/clock-of-the-server", clock_of_the_server.__doc__ or "", clock_of_the_server),
    Case("fault/slow-store", slow_store.__doc__ or "", slow_store),
    Case("fault/slow-log-disk", slow_log.__doc__ or "", slow_log),
)
