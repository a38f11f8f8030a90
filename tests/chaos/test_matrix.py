"""The matrix's bookkeeping: which kills count, what is still missing, and that a run that was cut goes on."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from tests.chaos.matrix import herd as herds
from tests.chaos.matrix import owners
from tests.chaos.matrix.herd import Herd
from tests.chaos.matrix.observer import Seen
from tests.chaos.matrix.plan import HARSH, draw_start, draw_victims, draw_wait, works_for
from tests.chaos.matrix.table import table
from tests.chaos.matrix.tally import Instant, Round, Tally, counted
from tests.chaos.victims import VICTIMS
from tests.chaos.works import WORKS

CELLS = [(work, victim) for work in WORKS for victim in VICTIMS]
TRAINED = Instant("train", "mlflow", 3.5, "register", 20.0, 2, "register")
SCORED = Instant("score", "mlflow", 1.5, "score", 8.0, 0)
RUNNING = Seen("running", began=100.0, ended=None, moved=104.0, tasks=["train"], tries=0, failed=[])


def a_round(number: int = 1, **changes: Any) -> Round:
    return replace(Round(number, "abc", 60.0, ["mlflow"], [TRAINED, SCORED]), **changes)


def opened(folder: Path, wanted: int = 2) -> Tally:
    return Tally.opened(folder / "progress.jsonl", CELLS, wanted)


class TestTally:
    def test_a_cut_run_goes_on_with_the_rounds_that_it_had(self, tmp_path: Path) -> None:
        done = a_round(breaches={"train": ["rows/once: twice"]}, lengths={"score": [7.0]}, parts={"up": 4.0})
        opened(tmp_path).add(done)
        again = opened(tmp_path)
        assert again.rounds == [done]
        again.add(a_round(2))
        assert [kept.number for kept in opened(tmp_path).rounds] == [1, 2]

    def test_a_line_that_was_cut_by_a_kill_is_no_round_and_does_no_harm_to_the_next(self, tmp_path: Path) -> None:
        tally = opened(tmp_path)
        tally.add(a_round())
        with tally.file.open("a") as handle:
            handle.write('{"number": 2, "commit": "ab')
        again = opened(tmp_path)
        again.add(a_round(2))
        assert [kept.number for kept in opened(tmp_path).rounds] == [1, 2]

    def test_of_an_older_commits_rounds_those_that_broke_nothing_count(self, tmp_path: Path) -> None:
        older = [a_round(1), a_round(2, breaches={"train": ["rows/once: twice"]}), a_round(3), a_round(4)]
        tally = opened(tmp_path)
        assert tally.next_number() == 1
        assert tally.take_over(older) == 1
        assert [kept.number for kept in opened(tmp_path).rounds] == [1, 3, 4]
        assert (tally.all_breaches(), tally.next_number()) == ([], 5)

    def test_a_cell_is_missing_until_it_has_all_its_instants(self, tmp_path: Path) -> None:
        tally = opened(tmp_path)
        assert set(tally.missing()) == set(CELLS)
        tally.add(a_round(instants=[TRAINED, SCORED, SCORED, SCORED]))
        missing = tally.missing()
        assert missing["train", "mlflow"] == 1
        assert ("score", "mlflow") not in missing
        assert missing["score", "server"] == 2

    def test_what_nobody_asks_for_does_not_count(self) -> None:
        assert counted([TRAINED, SCORED], {("train", "mlflow"): 3}) == [TRAINED]

    def test_a_breach_is_told_of_the_cells_that_were_hit_before_it(self, tmp_path: Path) -> None:
        tally = opened(tmp_path)
        tally.add(a_round(breaches={"train": ["rows/once: twice"]}))
        assert tally.breaches(("train", "mlflow")) == ["rows/once: twice"]
        assert tally.breaches(("train", "server")) == tally.breaches(("score", "mlflow")) == []
        assert tally.all_breaches() == [(1, "train", "rows/once: twice")]

    def test_a_length_is_that_of_late_undisturbed_runs(self, tmp_path: Path) -> None:
        tally = opened(tmp_path)
        assert tally.length("score", 12.0) == 12.0
        for number in range(20):
            tally.add(a_round(number, lengths={"score": [float(number)]}))
        assert tally.length("score", 12.0) == 15.5


class TestTable:
    def test_has_a_line_for_each_cell_and_says_why_work_was_begun_anew(self, tmp_path: Path) -> None:
        tally = opened(tmp_path)
        tally.add(a_round(breaches={"train": ["rows/once: twice"]}))
        lines = table(tally).splitlines()
        [line] = [line for line in lines if line.startswith("train    mlflow")]
        assert line.split() == ["train", "mlflow", "1", "1", "20", "s", "2", "1", "1"]
        assert "begun anew in 1 instants, train: register" in lines
        assert "✗ round 1, train: rows/once: twice" in lines
        assert f"2 of {2 * len(CELLS)} instants" in lines[-2]


class TestPlan:
    def missing(self, **counts: int) -> dict[tuple[str, str], int]:
        return {("train", victim.replace("_", "-")): count for victim, count in counts.items()}

    def test_nobody_is_killed_twice_in_a_round_and_the_harsh_kill_is_the_last(self) -> None:
        drawn = [draw_victims(dict.fromkeys(CELLS, 20), random.Random(seed)) for seed in range(200)]  # noqa: S311
        assert {victim for victims in drawn for victim in victims} == set(VICTIMS)
        for victims in drawn:
            assert 1 <= len(victims) == len(set(victims)) <= 5
            assert not set(victims[:-1]) & set(HARSH)

    def test_only_whom_a_cell_lacks_is_killed(self) -> None:
        assert draw_victims(self.missing(mlflow=1), random.Random(1)) == ["mlflow"]  # noqa: S311
        assert draw_victims(self.missing(scheduler=1, postgres=1), random.Random(1))[1:] == []  # noqa: S311

    def test_the_same_seed_draws_the_same(self) -> None:
        one, other = (draw_victims(dict.fromkeys(CELLS, 20), random.Random("1 3")) for _ in range(2))  # noqa: S311
        assert one == other

    def test_works_that_lack_nothing_of_the_round_stay_at_rest(self) -> None:
        missing = {("train", "mlflow"): 1, ("score", "server"): 1, ("data", "step"): 4}
        assert works_for(["mlflow", "server"], missing) == ["score", "train"]

    def test_works_begin_so_that_the_kill_finds_them_anywhere_in_their_length(self) -> None:
        chance = random.Random(1)  # noqa: S311
        ages = [50.0 - draw_start(50.0, 10.0, 20.0, chance) for _ in range(500)]
        assert 1.5 <= min(ages) < 2.5  # a run that was asked for a moment ago is queued
        assert 20.5 < max(ages) <= 21.5
        assert all(draw_start(50.0, 45.0, 20.0, chance) >= 45.0 for _ in range(100))

    def test_the_first_kill_may_come_as_late_as_the_longest_work_is_long(self) -> None:
        chance = random.Random(1)  # noqa: S311
        first = [draw_wait([10.0, 40.0], chance, is_first=True) for _ in range(500)]
        later = [draw_wait([10.0, 40.0], chance, is_first=False) for _ in range(500)]
        assert 38 < max(first) <= 40
        assert max(later) <= 20


class TestSeen:
    def test_a_run_is_under_way_when_it_has_got_on_since_the_last_kill(self) -> None:
        assert RUNNING.is_under_way(since=103.0)
        assert replace(RUNNING, moved=0.0).is_under_way(since=99.0)  # begun since then

    @pytest.mark.parametrize(
        "seen",
        [
            replace(RUNNING, moved=102.0),  # it waits for its rescue from the kill before
            replace(RUNNING, state="queued", began=None),
            replace(RUNNING, state="success", ended=105.0),
        ],
    )
    def test_else_it_is_not(self, seen: Seen) -> None:
        assert not seen.is_under_way(since=103.0)

    def test_a_run_that_had_ended_at_the_kill_was_not_hit(self) -> None:
        ended = replace(RUNNING, state="success", ended=110.0)
        assert [ended.ran_at(at) for at in (99.0, 105.0, 110.5)] == [False, True, False]
        assert RUNNING.ran_at(200.0)


class TestOwners:
    def test_a_step_is_of_the_task_that_holds_the_other_end_of_its_pipe(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with subprocess.Popen(["sleep", "60"], stdin=subprocess.PIPE) as mine, _piped_by_another() as (other, its):
            tasks = [("ours", owners.handles(os.getpid())), ("other's", owners.handles(other.pid))]
            monkeypatch.setattr(owners, "_tasks", lambda _: tasks)
            monkeypatch.setattr(owners, "steps", lambda _: [psutil.Process(mine.pid), psutil.Process(its)])
            observer: Any = SimpleNamespace(run_of=lambda task: ("dag", task))
            found = owners.steps_by_run(SimpleNamespace(), observer)  # type: ignore[arg-type]
            mine.kill()
        assert {run: process.pid for run, process in found.items()} == {
            ("dag", "ours"): mine.pid,
            ("dag", "other's"): its,
        }


@contextmanager
def _piped_by_another() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Another process that holds a pipe to a child of its own; the child's id."""
    script = "import subprocess as s; p = s.Popen(['sleep', '60'], stdin=s.PIPE); print(p.pid, flush=True); p.wait()"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        child = int(other.stdout.readline())
        try:
            yield other, child
        finally:
            psutil.Process(child).kill()


class Line:
    """An Airflow whose runs are as the test says."""

    def __init__(self) -> None:
        self.states: dict[str, Seen] = {}
        self.begun: list[str] = []
        self.may_be_deployed = True

    def trigger(self, dag_id: str, run_id: str, conf: object) -> None:  # noqa: ARG002
        self.begun.append(run_id)
        self.states[run_id] = RUNNING

    def look(self, dag_id: str, run_id: str) -> Seen:  # noqa: ARG002
        return self.states[run_id]

    def rows(self, statement: str, **parameters: object) -> list[dict[str, object]]:  # noqa: ARG002
        return [{"status": "registered" if self.may_be_deployed else "barred"}]


class TestHerd:
    @pytest.fixture
    def line(self) -> Line:
        return Line()

    @pytest.fixture
    def herd(self, line: Line, monkeypatch: pytest.MonkeyPatch) -> Herd:
        monkeypatch.setattr(herds, "Observer", lambda line: line)
        named: Callable[[], str] = lambda: f"run-{len(line.begun)}"  # noqa: E731
        subjects: Any = {name: SimpleNamespace(line=line, model=name, new_run=named) for name in WORKS}
        for name, work in WORKS.items():
            monkeypatch.setitem(WORKS, name, replace(work, prepare=lambda *_: {"version": 2}))
        return Herd(line, subjects, print)  # type: ignore[arg-type]

    def kill(self, herd: Herd, name: str, at: float) -> None:
        herd.jobs[name].asked = at - 10
        herd.hit("mlflow", at, {name: herd.see(name)})

    def test_a_kill_counts_with_what_it_did_until_the_work_was_finished(self, herd: Herd, line: Line) -> None:
        herd.begin("train", random.Random(1))  # noqa: S311
        self.kill(herd, "train", at=104.0)
        line.states["run-0"] = replace(RUNNING, state="success", ended=130.0, tries=1)
        herd.go_on()
        assert herd.instants == [Instant("train", "mlflow", 4.0, "train", 26.0, 1)]
        assert herd.is_idle("train")
        assert not herd.breaches

    def test_a_kill_after_the_run_had_ended_does_not_count(self, herd: Herd, line: Line) -> None:
        herd.begin("train", random.Random(1))  # noqa: S311
        self.kill(herd, "train", at=131.0)
        line.states["run-0"] = replace(RUNNING, state="success", ended=130.0)
        herd.go_on()
        assert herd.instants == []

    def test_what_failed_after_a_kill_is_begun_anew_and_says_why(self, herd: Herd, line: Line) -> None:
        herd.begin("train", random.Random(1))  # noqa: S311
        self.kill(herd, "train", at=104.0)
        line.states["run-0"] = replace(RUNNING, state="failed", ended=130.0, tries=3, failed=["register"])
        herd.go_on()
        assert line.begun == ["run-0", "run-1"]
        line.states["run-1"] = replace(RUNNING, state="success", began=131.0, ended=160.0)
        herd.go_on()
        assert herd.instants == [Instant("train", "mlflow", 4.0, "train", 56.0, 3, "register")]

    def test_a_run_that_fails_although_nobody_was_killed_since_it_was_begun_is_a_breach(
        self, herd: Herd, line: Line
    ) -> None:
        herd.begin("train", random.Random(1))  # noqa: S311
        line.states["run-0"] = replace(RUNNING, state="failed", ended=130.0, failed=["register"])
        herd.go_on()
        assert herd.breaches["train"][0].startswith("work/failed: run-0")
        assert line.begun == ["run-0"]

    def test_what_begun_anew_fails_without_another_kill_is_a_breach(self, herd: Herd, line: Line) -> None:
        herd.begin("train", random.Random(1))  # noqa: S311
        self.kill(herd, "train", at=104.0)
        for run in ("run-0", "run-1"):
            line.states[run] = replace(RUNNING, state="failed", ended=130.0, failed=["register"])
            herd.go_on()
        line.states["run-1"] = replace(RUNNING, state="failed", ended=160.0, failed=["register"])
        herd.go_on()
        assert herd.breaches["train"][0].startswith("work/failed: run-1")
        assert len(herd.instants) == 1

    def test_a_work_that_still_waits_for_its_rescue_is_not_hit_again(self, herd: Herd, line: Line) -> None:
        herd.begin("train", random.Random(1))  # noqa: S311
        for at in (104.5, 105.0):
            self.kill(herd, "train", at=at)
        line.states["run-0"] = replace(RUNNING, state="success", ended=130.0)
        herd.go_on()
        assert [instant.at for instant in herd.instants] == [4.5]

    def test_a_version_that_was_barred_is_not_deployed_again(self, herd: Herd, line: Line) -> None:
        herd.begin("deploy", random.Random(1))  # noqa: S311
        self.kill(herd, "deploy", at=104.0)
        line.may_be_deployed = False
        line.states["run-0"] = replace(RUNNING, state="failed", ended=130.0, failed=["withdraw"])
        herd.go_on()
        assert [instant.again for instant in herd.instants] == ["withdraw, and its version is out for good"]
        assert line.begun == ["run-0"]

    def test_only_an_undisturbed_run_tells_how_long_the_work_is(self, herd: Herd, line: Line) -> None:
        for name in ("score", "train"):
            herd.begin(name, random.Random(1))  # noqa: S311
        self.kill(herd, "train", at=104.0)
        for run in line.begun:
            line.states[run] = replace(RUNNING, state="success", ended=130.0)
        herd.go_on()
        assert herd.lengths == {"score": [30.0]}
