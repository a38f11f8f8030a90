"""The kill matrix: each work × each victim, at instants drawn over the measured length of that work."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import requests

from include.stack.airflow_api import FINISHED
from tests.chaos.case import Broken, Case
from tests.chaos.subject import finish_all
from tests.chaos.victims import NO_STEP, STEP, VICTIMS, kill
from tests.chaos.works import WORKS, Conf, Work, may_be_deployed
from tests.chaos.world import World

_LIMIT = 900.0
_DRAWS = 10


@dataclass(frozen=True)
class Kill:
    """What one kill did.

    :param at: seconds after the work was started.
    :param hit: the steps that ran in that moment.
    :param seconds: until all was finished, `make up` included.
    :param tries: tries beyond the first that tasks needed.
    :param again: why the work had to be started anew; empty if Airflow's own retries finished it.
    """

    at: float
    hit: str
    seconds: float
    tries: int
    again: str

    def __str__(self) -> str:
        again = f", begun anew: {self.again}" if self.again else ""
        return f"at {self.at:5.1f} s in {self.hit:<18} done after {self.seconds:5.1f} s, {self.tries} more tries{again}"


def run_cell(name: str, victim: str, world: World, chance: random.Random) -> str:
    """All instants of a cell; each with new work, each followed by the check."""
    work = WORKS[name]
    length = _length(world, name)
    kills: list[Kill] = []
    broken: list[Broken] = []
    for number in range(world.instants):
        done = _interrupt_somebody(world, work, victim, length, chance)
        kills.append(done)
        world.say(f"  {name:<8}{victim:<14}{number + 1:>3}  {done}")
        try:
            world.subject.check(patience=60)
        except Broken as found:
            world.say(f"    ✗ {found}")
            broken.append(found)
    if broken:
        raise Broken([breach for found in broken for breach in found.breaches])
    return _summary(length, kills)


def _summary(length: float, kills: Sequence[Kill]) -> str:
    slowest = max(done.seconds for done in kills)
    anew = sum(bool(done.again) for done in kills)
    return (
        f"{len(kills)} kills over {length:.1f} s, slowest end after {slowest:.0f} s, "
        f"{sum(done.tries for done in kills)} more tries, {anew} begun anew, no breach"
    )


def _interrupt_somebody(world: World, work: Work, victim: str, length: float, chance: random.Random) -> Kill:
    """One kill. An instant after the last step, when there was no step to be killed any more, is drawn again."""
    for _ in range(_DRAWS):
        done = _interrupt(world, work, victim, chance.uniform(0, length), chance)
        if victim != STEP or done.hit != NO_STEP:
            return done
    raise AssertionError(f"{work.dag_id(world.subject)} had no step at any of {_DRAWS} instants, so nobody was killed")


def _length(world: World, name: str) -> float:
    """How long the work takes when nobody is killed, measured once for each run of the matrix.

    It has a chance of its own: a cell's is the same whether or not it is the one that measures.
    """
    assert world.subject.callers, "nobody asks"
    if name not in world.lengths:
        work = WORKS[name]
        conf = work.prepare(world.subject, random.Random(f"the length of {name}"))  # noqa: S311 - to be repeatable
        begin = time.monotonic()
        state, _ = _finish(world, work, _start(world, work, conf))
        assert state == "success", f"{work.dag_id(world.subject)} failed although nobody was killed"
        world.lengths[name] = time.monotonic() - begin
        world.say(f"  {name} takes {world.lengths[name]:.1f} s undisturbed")
        world.subject.check(patience=60)
    return world.lengths[name]


def _start(world: World, work: Work, conf: Conf) -> str:
    run_id = world.subject.new_run()
    world.line.trigger(work.dag_id(world.subject), run_id, conf)
    return run_id


def _interrupt(world: World, work: Work, victim: str, at: float, chance: random.Random) -> Kill:
    conf = work.prepare(world.subject, chance)
    begin = time.monotonic()
    run_id = _start(world, work, conf)
    time.sleep(max(0.0, at - (time.monotonic() - begin)))
    hit = kill(world.line, victim, lambda: _goes_on(world, work, run_id))
    at = time.monotonic() - begin
    if victim != STEP:
        world.mend(world.line)
    state, tries = _finish(world, work, run_id)
    done = Kill(at, hit, time.monotonic() - begin, tries, "")
    if state == "success":
        return done
    why = _failed(world, work, run_id)
    if work.family == "deploy" and not may_be_deployed(world.subject, conf):
        return replace(done, again=f"{why}, and its version is out for good")
    state, more = _finish(world, work, _start(world, work, conf))
    assert state == "success", f"begun anew, {work.dag_id(world.subject)} failed again: {why}"
    return Kill(at, hit, time.monotonic() - begin, tries + more, why)


def _goes_on(world: World, work: Work, run_id: str) -> bool:
    try:
        return world.line.state(work.dag_id(world.subject), run_id) not in FINISHED
    except requests.RequestException:
        return True


def _finish(world: World, work: Work, run_id: str) -> tuple[str, int]:
    """Wait for the end of the run and of all that it started; its state, and its tasks' tries beyond the first."""
    state = world.line.finish(work.dag_id(world.subject), run_id, _LIMIT)
    finish_all(world.line, world.subject.model, _LIMIT)
    tasks = world.line.tasks(work.dag_id(world.subject), run_id).values()
    return state, sum(max(0, task.attempt - 1) for task in tasks)


def _failed(world: World, work: Work, run_id: str) -> str:
    tasks = world.line.tasks(work.dag_id(world.subject), run_id).items()
    return ", ".join(name for name, task in tasks if task.state == "failed") or "no task failed"


CASES = [
    Case(
        f"kill/{name}/{victim}",
        f"kill -9 of {victim} while {name} is under way",
        partial(run_cell, name, victim),
    )
    for name in WORKS
    for victim in VICTIMS
]
