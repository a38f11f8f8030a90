"""The works of a round: begun, watched, begun anew if they failed; in the end they say what the kills did to them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import requests

from tests.chaos.matrix.observer import Observer, Seen
from tests.chaos.matrix.tally import Instant
from tests.chaos.subject import Subject
from tests.chaos.works import WORKS, Conf, Work, may_be_deployed

if TYPE_CHECKING:
    from tests.e2e.line import Line

_ASKED = 4


@dataclass(frozen=True)
class Hit:
    """A kill while one of the job's runs was under way."""

    run_id: str
    victim: str
    at: float
    hit: str


@dataclass
class Job:
    """One work with something new to do, from its beginning to its end, begun anew or not.

    :param asked: when its present run was asked for, seconds since 1970.
    """

    name: str
    conf: Conf
    run_id: str
    asked: float
    hits: list[Hit] = field(default_factory=list)
    runs: dict[str, Seen] = field(default_factory=dict)
    again: list[str] = field(default_factory=list)

    def instants(self, ended: float) -> list[Instant]:
        """What counts: kills at which, as is known now, the run was running."""
        tries = sum(seen.tries for seen in self.runs.values())
        return [
            Instant(
                self.name,
                hit.victim,
                round(hit.at - (self.runs[hit.run_id].began or hit.at), 2),
                hit.hit,
                round(ended - hit.at, 1),
                tries,
                "; ".join(self.again),
            )
            for hit in self.hits
            if self.runs[hit.run_id].ran_at(hit.at)
        ]


class Herd:
    """One job for each work at most.

    :param subjects: by work, the model that does it.
    :param say: prints a line.
    """

    def __init__(self, line: Line, subjects: Mapping[str, Subject], say: Callable[[str], None]) -> None:
        self.subjects = subjects
        self.instants: list[Instant] = []
        self.lengths: dict[str, list[float]] = {}
        self.breaches: dict[str, list[str]] = {}
        self.jobs: dict[str, Job] = {}
        self.done: list[Job] = []
        self._killed: dict[str, float] = dict.fromkeys(subjects, 0.0)
        self._line = line
        self._observer = Observer(line)
        self._say = say

    def is_idle(self, name: str) -> bool:
        """Whether the work has nothing to do."""
        return name not in self.jobs

    def begin(self, name: str, chance: random.Random) -> None:
        """Give a work something to do."""
        work, subject = WORKS[name], self.subjects[name]
        conf = work.prepare(subject, chance)
        self.jobs[name] = Job(name, conf, self._start(work, subject, conf), time.time())

    def _start(self, work: Work, subject: Subject, conf: Conf) -> str:
        """Ask for a run; an API that is slow to come back is asked again, for the same run."""
        run_id = subject.new_run()
        for attempt in range(_ASKED):
            try:
                self._line.trigger(work.dag_id(subject), run_id, conf)
                break
            except requests.RequestException:
                if attempt + 1 == _ASKED:
                    raise
                time.sleep(_ASKED)
        return run_id

    def states(self) -> dict[str, Seen]:
        """How the run of each job is."""
        return {name: self.see(name) for name in self.jobs}

    def see(self, name: str) -> Seen:
        """How the run of a work's job is."""
        job = self.jobs[name]
        seen = self._observer.look(WORKS[name].dag_id(self.subjects[name]), job.run_id)
        job.runs[job.run_id] = seen
        return seen

    def work_of(self, dag_id: str, run_id: str) -> str | None:
        """Whose run it is."""
        for name, job in self.jobs.items():
            if (WORKS[name].dag_id(self.subjects[name]), job.run_id) == (dag_id, run_id):
                return name
        return None

    def hit(self, victim: str, at: float, states: Mapping[str, Seen]) -> None:
        """A kill that these works may feel, and how their runs were just before; it counts for those under way."""
        for name, seen in states.items():
            job = self.jobs.get(name)
            if job is not None and seen.is_under_way(since=self._killed[name]):
                job.hits.append(Hit(job.run_id, victim, at, ", ".join(seen.tasks)))
            self._killed[name] = at

    def go_on(self) -> None:
        """Take note of the runs that have ended; what failed is begun anew, if a kill can have been the cause."""
        for name, seen in self.states().items():
            if seen.state == "success":
                self._end(name, seen)
            elif seen.state == "failed":
                self._failed(name, seen)

    def _failed(self, name: str, seen: Seen) -> None:
        job, work, subject = self.jobs[name], WORKS[name], self.subjects[name]
        why = ", ".join(seen.failed) or "no task failed"
        if self._killed[name] < job.asked:
            words = f"{job.run_id} failed although nobody was killed since it was begun: {why}"
            self.breaches.setdefault(name, []).append(f"work/failed: {words}")
            self._end(name, seen)
        elif work.family == "deploy" and not may_be_deployed(subject, job.conf):
            job.again.append(f"{why}, and its version is out for good")
            self._end(name, seen)
        else:
            job.again.append(why)
            job.run_id, job.asked = self._start(work, subject, job.conf), time.time()
            self._say(f"    {name} is begun anew: {why}")

    def _end(self, name: str, seen: Seen) -> None:
        job = self.jobs.pop(name)
        self.done.append(job)
        self.instants += job.instants(seen.ended or 0.0)
        if not job.hits and seen.state == "success" and seen.began and seen.ended:
            self.lengths.setdefault(name, []).append(round(seen.ended - seen.began, 1))

    def give_up(self, seconds: float) -> None:
        """What is still under way is stuck: that is a breach; it is marked as failed, for others' sake."""
        for name, seen in self.states().items():
            words = f"work/stuck: {self.jobs[name].run_id} did not end within {seconds:.0f} s: {list(seen.tasks)}"
            self.breaches.setdefault(name, []).append(words)
        for subject in self.subjects.values():
            for dag_id, run_id in self._observer.under_way(subject.model):
                self._line.api.call("PATCH", f"/dags/{dag_id}/dagRuns/{run_id}", json={"state": "failed"})
        self.jobs.clear()

    def others(self) -> list[tuple[str, str]]:
        """Runs of the models that are under way, those that others have started included."""
        return [run for subject in self.subjects.values() for run in self._observer.under_way(subject.model)]

    @property
    def observer(self) -> Observer:
        """How it looks at Airflow."""
        return self._observer
