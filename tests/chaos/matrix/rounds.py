"""A round: works are brought under way, somebody is killed, up to five times; all is finished, all is checked."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.chaos.matrix.herd import Herd
from tests.chaos.matrix.observer import Seen
from tests.chaos.matrix.owners import steps_by_run
from tests.chaos.matrix.plan import draw_start, draw_victims, draw_wait, works_for
from tests.chaos.matrix.tally import Round, Tally, counted
from tests.chaos.subject import Subject
from tests.chaos.victims import STEP, end, kill
from tests.chaos.world import World
from tests.e2e.line import Line

GUESSED = {"data": 25.0, "train": 40.0, "deploy": 25.0, "score": 12.0, "monitor": 12.0}
"""Seconds of the works beside each other, until it is known."""
_PAUSE = 0.4
_STEP_SECONDS = 15.0
_LONGEST_DELAY = 0.5
_LIMIT = 420.0
_PATIENCE = 60.0


@dataclass
class Rounds:
    """Does rounds.

    :param subjects: by work, the model that does it.
    :param tally: what was done, and is missing.
    """

    line: Line
    subjects: Mapping[str, Subject]
    tally: Tally
    seed: int
    commit: str
    say: Callable[[str], None]
    parts: dict[str, float] = field(default_factory=dict)

    def run(self, number: int) -> Round:
        """One round; its chance depends on seed and number alone."""
        began = time.monotonic()
        self.parts = {}
        missing = self.tally.missing()
        victims = draw_victims(missing, self._chance(number, "victims"))
        herd = Herd(self.line, self.subjects, self.say)
        for place, victim in enumerate(victims):
            wanted = works_for(victims[place:], missing)
            with self._timed("begin"):
                self._bring_under_way(herd, wanted, number, place)
            with self._timed("kill"):
                self._kill(herd, victim, self._chance(number, "kill", place))
            if victim != STEP:
                with self._timed("up"):
                    self._mend(herd, self._chance(number, "mend", place))
        with self._timed("finish"):
            self._finish(herd)
        with self._timed("check"):
            self._check(herd)
        return Round(
            number,
            self.commit,
            round(time.monotonic() - began, 1),
            victims,
            counted(herd.instants, missing),
            herd.breaches,
            herd.lengths,
            {name: round(seconds, 1) for name, seconds in self.parts.items()},
        )

    def _chance(self, *what: object) -> random.Random:
        return random.Random(f"{self.seed} matrix {' '.join(map(str, what))}")  # noqa: S311 - to be repeatable

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.parts[part] = self.parts.get(part, 0.0) + time.monotonic() - began

    def _bring_under_way(self, herd: Herd, wanted: Collection[str], number: int, place: int) -> None:
        """Until the drawn instant: works that rest are begun, at drawn moments before it."""
        lengths = {work: self.tally.length(work, GUESSED[work]) for work in wanted}
        wait = draw_wait(list(lengths.values()), self._chance(number, "wait", place), is_first=place == 0)
        kill_at = time.monotonic() + wait
        starts: dict[str, tuple[float, random.Random]] = {}
        begun = 0
        while (now := time.monotonic()) < kill_at:
            herd.go_on()
            for work in wanted:
                if herd.is_idle(work) and work not in starts:
                    begun += 1
                    chance = self._chance(number, place, work, begun)
                    starts[work] = draw_start(kill_at, now, lengths[work], chance), chance
            for work, (at, chance) in list(starts.items()):
                if at <= time.monotonic():
                    herd.begin(work, chance)
                    del starts[work]
            time.sleep(max(0.0, min(_PAUSE, kill_at - time.monotonic())))

    def _kill(self, herd: Herd, victim: str, chance: random.Random) -> None:
        if victim == STEP:
            self._kill_steps(herd, chance)
            return
        states = herd.states()
        kill(self.line, victim, lambda: True)
        herd.hit(victim, time.time(), states)
        self.say(f"    {victim} in {_in(states)}")

    def _kill_steps(self, herd: Herd, chance: random.Random) -> None:
        """A step of each work: one that runs, or the next one, some drawn moment after it is seen first."""
        open_works = set(herd.jobs)
        due: dict[int, float] = {}
        deadline = time.monotonic() + _STEP_SECONDS
        killed: list[str] = []
        longest = 0.0
        while open_works and time.monotonic() < deadline:
            for (dag_id, run_id), process in steps_by_run(self.line, herd.observer).items():
                work = herd.work_of(dag_id, run_id)
                if work is None or work not in open_works:
                    continue
                now = time.monotonic()
                if due.setdefault(process.pid, now + chance.uniform(0, longest)) <= now:
                    seen = herd.see(work)
                    end(process)
                    herd.hit(STEP, time.time(), {work: seen})
                    open_works.discard(work)
                    killed.append(f"{work}: {', '.join(seen.tasks)}")
            longest = _LONGEST_DELAY  # of those that begin after the drawn instant
            herd.go_on()
            open_works &= set(herd.jobs)
            time.sleep(0.05)
        self.say(f"    steps of {'; '.join(killed) or 'nobody'}")

    def _mend(self, herd: Herd, chance: random.Random) -> None:
        """The supervisor starts what was killed; every other time a person calls `make up` as well."""
        how = World.mend if chance.random() < 0.5 else World.heal
        try:
            how(self.line)
        except AssertionError as error:
            herd.breaches.setdefault("all", []).append(f"stack/up: {str(error)[-1500:]}")
            World.mend(self.line)

    def _finish(self, herd: Herd) -> None:
        deadline = time.monotonic() + _LIMIT
        while herd.jobs or herd.others():
            if time.monotonic() > deadline:
                herd.give_up(_LIMIT)
                return
            herd.go_on()
            time.sleep(_PAUSE)

    def _check(self, herd: Herd) -> None:
        """All invariants of all models; what comes by itself, such as the outbox's deliveries, is waited for."""
        deadline = time.monotonic() + _PATIENCE
        pending = list(self.subjects.items())
        while pending:
            found = {work: breaches for work, subject in pending if (breaches := subject.breaches())}
            pending = [(work, subject) for work, subject in pending if work in found]
            if pending and time.monotonic() > deadline:
                for work, subject in pending:
                    subject.told.update(found[work])
                    herd.breaches.setdefault(work, []).extend(map(str, found[work]))
                return
            if pending:
                time.sleep(1)


def _in(states: Mapping[str, Seen]) -> str:
    told = [f"{work}: {', '.join(seen.tasks) or seen.state}" for work, seen in states.items()]
    return "; ".join(told) or "nobody"
