"""The process beside the workers: it outlives what a challenger does, and ends with those whom it serves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from include.serving.keeper import status_file
from include.serving.protocols.calls import Call
from include.serving.request_log import segments
from include.serving.shadow import ShadowSender, socket_path
from include.settings import PROJECT, Settings
from tests.serving.live import until
from tests.serving.log_world import answer, logged, open_log, without_suites
from tests.serving.shadow_world import CHAMPION, SHAPE


@pytest.fixture
def here(settings: Settings) -> Settings:
    return without_suites(settings)


@contextmanager
def background(settings: Settings) -> Iterator[psutil.Process]:
    """The background process, ready to score; what is left of it is killed at the end."""
    settings.home.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.serving.background_process", str(settings.home)]
    with (
        (settings.home / "background.log").open("ab") as log,
        subprocess.Popen(command, cwd=PROJECT, stdout=log, stderr=log) as started,
    ):
        process = psutil.Process(started.pid)
        try:
            until(lambda: {"noria-keeper", "noria-scorer"} <= names(process).keys(), 60)
            yield process
        finally:
            children = process.children(recursive=True) if process.is_running() else []
            for left in [process, *children]:
                with suppress(psutil.NoSuchProcess):
                    left.send_signal(signal.SIGTERM if left is process else 0)
            try:
                started.wait(20)
            except subprocess.TimeoutExpired:
                started.kill()


def names(process: psutil.Process) -> dict[str, int]:
    """Its living children: process ids by name."""
    found = {}
    for child in process.children():
        with suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE:
                found[child.name()] = child.pid
    return found


def is_gone(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    return True


def offer(sender: ShadowSender, x: float, model: str = "m") -> None:
    """Offer a request that the champion answered, until it is taken."""
    values: dict[str, Any] = {"request_id": f"r{x:g}", "at_us": int(time.time() * 1e6), "answered_version": CHAMPION}
    call = Call(1, rows=[{"x": x}])
    until(lambda: sender.offer(shape=replace(SHAPE, model=model), call=call, **values), 60)


def scores(settings: Settings, model: str = "m") -> dict[str, Any]:
    """What the log holds of each shadow-scored request: its prediction, or the error."""
    found = {}
    for row in logged(settings, "request_id, prediction, error", model=model):
        found[row["request_id"]] = row["error"] if row["prediction"] is None else row["prediction"]
    return found


def test_scores_reach_the_table_and_what_a_challenger_does_is_evidence_against_it(here: Settings) -> None:
    with background(here) as process:
        sender = ShadowSender(socket_path(here.home))
        offer(sender, 1)
        offer(sender, 7)
        until(lambda: scores(here).keys() == {"r1", "r7"}, 60)
        first = names(process)["noria-scorer"]
        offer(sender, 13)  # hangs
        until(lambda: "r13" in scores(here), 60)
        until(lambda: "noria-scorer" in names(process), 60)
        offer(sender, 17)  # aborts its process
        until(lambda: "r17" in scores(here), 60)
        offer(sender, 2, model="n")
        until(lambda: "r2" in scores(here, "n"), 60)
        assert names(process)["noria-scorer"] != first
        found = scores(here)
        status = json.loads(status_file(here.home).read_text())
    assert found == {
        "r1": 1.0,
        "r7": "ValueError: seven",
        "r13": "no prediction within 1 s; the scoring process was killed",
        "r17": "the scoring process died on this row (signal 6)",
    }
    assert status["errors"] == {}
    assert status["log"]["rows"]["inference"] >= 4


def test_what_kills_the_scorer_three_times_is_not_tried_again_and_others_go_on(here: Settings) -> None:
    with background(here) as process:
        sender = ShadowSender(socket_path(here.home))
        for _ in range(3):
            before = names(process)["noria-scorer"]
            offer(sender, 17)
            until(lambda old=before: is_gone(old), 30)  # type: ignore[misc]
            until(lambda: "noria-scorer" in names(process), 60)
        offer(sender, 5)
        offer(sender, 5, model="n")
        until(lambda: "r5" in scores(here) and "r5" in scores(here, "n"), 60)
    assert "not scored any more" in scores(here)["r5"]
    assert scores(here, "n")["r5"] == 5.0


def test_a_row_that_only_waits_for_a_processor_is_not_held_against_its_version(here: Settings) -> None:
    processor = min(os.sched_getaffinity(0))
    spin = f"import os\nos.sched_setaffinity(0, {{{processor}}})\nwhile True: pass"
    with background(here) as process:
        sender = ShadowSender(socket_path(here.home))
        offer(sender, 1)
        until(lambda: "r1" in scores(here), 60)
        scorer = names(process)["noria-scorer"]
        os.sched_setaffinity(scorer, {processor})
        with subprocess.Popen([sys.executable, "-c", spin]) as busy:
            try:
                offer(sender, 19)  # a third of a second of work; a row may take one
                time.sleep(4)
            finally:
                busy.kill()
        until(lambda: "r19" in scores(here), 60)
        assert names(process)["noria-scorer"] == scorer
    assert scores(here)["r19"] == 19.0


def test_its_children_are_replaced_and_it_ends_cleanly_after_a_last_compaction(here: Settings) -> None:
    log = open_log(here)
    with background(here) as process:
        assert {found.nice() for found in [process, *process.children()]} == {19}
        for name, pid in names(process).items():
            os.kill(pid, signal.SIGKILL)
            until(lambda old=pid, name=name: names(process).get(name, old) != old, 30)  # type: ignore[misc]
        offer(ShadowSender(socket_path(here.home)), 3)
        until(lambda: "r3" in scores(here), 60)
        answer(log, "last")
        log.close()
        process.send_signal(signal.SIGTERM)
        until(lambda: is_gone(process.pid), 30)
    assert logged(here, "request_id") == ["last", "r3"]
    assert segments.list_segments(segments.log_folder(here.home)) == []


def test_its_children_end_with_it_a_successor_takes_over_and_it_ends_with_its_parent(
    here: Settings, tmp_path: Path
) -> None:
    with background(here) as process:
        children = names(process).values()
        assert len(children) == 2
        os.kill(process.pid, signal.SIGKILL)
        until(lambda: all(map(is_gone, children)), 30)
    script = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-m', 'tests.serving.background_process', sys.argv[1]])\n"
        "print(child.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with (tmp_path / "log").open("wb") as output, subprocess.Popen(
        [sys.executable, "-c", script, str(here.home)],
        cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output, text=True,
    ) as parent:  # fmt: skip
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        offer(ShadowSender(socket_path(here.home)), 4)
        until(lambda: "r4" in scores(here), 60)
        parent.kill()
        until(lambda: is_gone(pid), 30)


def test_logged_bytes_are_brought_to_the_disk_every_second(here: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from include.serving.board import Board
    from include.serving.keeper import Keeper

    synced = []
    monkeypatch.setattr(segments, "sync", lambda segment: synced.append(segment.name))
    log = open_log(here)
    keeper = Keeper(here, Board(), Board())
    keeper._sync()
    answer(log, "a")
    keeper._sync()
    keeper._sync()
    answer(log, "b")
    keeper._sync()
    assert len(synced) == 2


@pytest.mark.parametrize("cure", ["it is judged", "it is challenged no more"])
def test_work_that_fails_is_in_the_metrics_until_it_succeeds_again_or_is_none(
    here: Settings, monkeypatch: pytest.MonkeyPatch, cure: str
) -> None:
    from include.serving import assessment, metrics
    from include.serving.board import Board
    from include.serving.keeper import Keeper

    def fail(_: Settings, model: str) -> None:
        raise ModuleNotFoundError(f"No module to judge {model} with")

    keeper = Keeper(here, Board(), Board())
    monkeypatch.setattr(keeper, "_challenged", lambda: ["judged_in_vain"])
    monkeypatch.setattr(assessment, "assess", fail)
    keeper._assess()
    assert b'noria_background_failing{work="assess judged_in_vain"} 1.0' in metrics.page()
    monkeypatch.setattr(assessment, "assess", lambda *_: None)
    if cure == "it is challenged no more":
        monkeypatch.setattr(keeper, "_challenged", list)
    keeper._assess()
    assert b'noria_background_failing{work="assess judged_in_vain"} 0.0' in metrics.page()
    assert not keeper._errors
