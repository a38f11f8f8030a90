"""Faults under load: PostgreSQL restarted in every way, bursts of connections, a request log whose disk gives out."""

from __future__ import annotations

import os
import random
import resource
import signal
import socket
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import psycopg2

from include.registry import state
from tests.chaos.case import Case
from tests.chaos.own_disk import own_disk
from tests.chaos.serving_world import BODIES, ServingWorld, serving_world
from tests.chaos.small_line import FIRST, LAST, small_line
from tests.serving.live import serving, until
from tests.serving.load import ClosedLoop, send

if TYPE_CHECKING:
    from tests.chaos.world import World

_CONVERGENCE = 2.0
_CROWD = 1000
_SOME = 300
_MORE_MIB = 300
_HEAD = b"POST /models/m/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def postgres_restarted(world: World, chance: random.Random) -> str:
    """PostgreSQL is stopped fast, at once and by kill -9 under requests, labels and changes of the champion."""
    labels: list[str] = []
    with serving_world() as here:
        with here.load() as loop:
            for way in chance.sample(["fast", "immediate", "kill -9"], 3):
                _after(loop, chance.randrange(100, 500))
                _stop(here, way)
                for _ in range(5):
                    labels.append(_label(here))
                    _after(loop, chance.randrange(50, 250))
                here.postgres.start()
                returned = time.monotonic()
                champion = 2 if here.client.get("/models/m").json()["version"] == 1 else 1
                here.switch(champion)
                until(lambda now=champion: all(serving(here.client, now) for _ in range(8)), 20)  # type: ignore[misc]
                late = time.monotonic() - returned
        faults = here.check(loop, convergence=_CONVERGENCE + 5)
        assert (faults.absent, faults.repeated, faults.otherwise, faults.unknown) == ([], [], [], []), faults
        until(lambda: _labels(here) >= len(labels), 60)
        assert _labels(here) == len(labels), (_labels(here), len(labels))
    asked = len(loop.load.sent)
    return f"{asked} requests, all 200 and in the log once; {len(labels)} labels kept; state after {late:.1f} s"


def _after(loop: ClosedLoop, requests: int) -> None:
    """Wait until so many more requests were answered."""
    wanted = len(loop.load.sent) + requests
    until(lambda: len(loop.load.sent) >= wanted, 60)


def _stop(here: ServingWorld, way: str) -> None:
    if way == "fast":
        here.postgres.stop()
        return
    postmaster = int((here.postgres.data / "postmaster.pid").read_text().split()[0])
    os.kill(postmaster, signal.SIGQUIT if way == "immediate" else signal.SIGKILL)
    until(lambda: not here.postgres.is_running(), 30)


def _label(here: ServingWorld) -> str:
    request_id = f"labelled-{time.time_ns()}"
    answer = here.client.post(
        "/models/m/feedback", json={"labels": [{"request_id": request_id, "row": 0, "label": 1.5}]}
    )
    assert answer.status_code < 300, answer.text
    return request_id


def _labels(here: ServingWorld) -> int:
    from include.serving.request_log.compaction import Compactor
    from include.serving.request_log.tables import dataset

    until(Compactor(here.settings).run, 60)
    return int(dataset(here.settings, "m", "feedback").count_rows())


def crowd(world: World, chance: random.Random) -> str:
    """A thousand connections at once that ask nothing, ask slowly or are half closed, beside callers who ask."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8192)), hard))
    with serving_world() as here, ExitStack() as held:
        send(here.template, BODIES, 4, requests=200)
        before = here.memory()
        idle = [held.enter_context(_connected(here)) for _ in range(_CROWD)]
        for number, connection in enumerate(idle):
            if number % 3 == 1:  # a head that never ends
                connection.sendall(_HEAD[: chance.randrange(10, len(_HEAD))])
            elif number % 3 == 2:  # a body that is announced, and a side that will not speak again
                connection.sendall(_HEAD + b"Content-Length: 100\r\n\r\n{")
                connection.shutdown(socket.SHUT_WR)
        beside = send(here.template, BODIES, 8, requests=400)
        assert beside.statuses() == {200: 400}, beside.statuses()
        slowest = max(one.ended - one.started for one in beside.sent)
        burst = send(here.template, BODIES, _CROWD, requests=_CROWD * 2)
        assert burst.statuses() == {200: _CROWD * 2}, burst.statuses()
        grown = (here.memory() - before) / 2**20
        assert grown < _MORE_MIB, f"the server has grown by {grown:.0f} MiB"
        until(lambda: sum(_is_closed(one) for one in idle) >= _CROWD * 2 // 3 - 10, 90)
        assert send(here.template, BODIES, 4, requests=100).statuses() == {200: 100}
        assert "Traceback" not in here.said.read_text()
    return (
        f"{_CROWD} hung on; 400 requests beside them and {_CROWD * 2} of a burst, all 200 "
        f"(slowest beside {slowest:.1f} s); "
        f"slow and half-closed ones were closed; {grown:.0f} MiB more"
    )


def _connected(here: ServingWorld) -> socket.socket:
    connection = socket.create_connection(here.template.place, timeout=30)
    connection.settimeout(0)
    return connection


def _is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(65536, socket.MSG_PEEK) == b"" or b"HTTP/1.1 4" in connection.recv(
            65536, socket.MSG_PEEK
        )
    except BlockingIOError:
        return False
    except OSError:
        return True


def too_many_for_postgres(world: World, chance: random.Random) -> str:
    """All of PostgreSQL's connections are taken while steps want one."""
    with small_line() as line:
        gate = line.staged(FIRST, LAST)
        with ExitStack() as held:
            while True:
                try:
                    connection = psycopg2.connect(host=str(line.postgres.socket), user="postgres", dbname="noria")
                except psycopg2.OperationalError:
                    break
                held.callback(connection.close)
            said = line.step("publish", gate=gate).tries_again("too many clients")
        line.step("publish", gate=gate).done()
        line.whole()
    return f"publish went on later, after it had said: {said.partition(' s: ')[2][:120]}"


def full_log_disk(world: World, chance: random.Random) -> str:
    """The disk of the server's request log fills up under load, and has room again."""
    with own_disk(64) as disk, serving_world(disk.path / "home") as here:
        with here.load() as loop:
            _after(loop, _SOME)
            disk.leave(0)
            until(lambda: _lost(here) >= _SOME, 60)
            disk.empty()
            until(lambda: _loses_no_more(here, loop), 60)
            after = time.time()
            _after(loop, _SOME)
        faults = here.check(loop, complains=True)
        assert faults.absent, "the disk was never full"
        lost = _lost(here)
        assert len(faults.absent) <= lost, f"{len(faults.absent)} records are lost, {lost} were counted"
        assert (faults.repeated, faults.otherwise, faults.unknown) == ([], [], [])
        late = {one.request_id for one in loop.load.sent if one.started > after}
        assert late
        assert not late & set(faults.absent), "records are lost though there is room again"
    return f"{len(loop.load.sent)} requests all answered; {len(faults.absent)} records lost, {lost} counted"


def _loses_no_more(here: ServingWorld, loop: ClosedLoop) -> bool:
    """Whether some hundred requests cost no record."""
    lost = _lost(here)
    _after(loop, _SOME)
    return _lost(here) == lost


def _lost(here: ServingWorld) -> int:
    lines = [one for one in here.client.get("/metrics").text.splitlines() if one.startswith("noria_log_errors_total")]
    return int(sum(float(one.split()[-1]) for one in lines))


def log_disk_stands_still(world: World, chance: random.Random) -> str:
    """The disk of the request log takes no write for some seconds: requests wait, and none is lost."""
    seconds = 4.0
    with own_disk(64) as disk, serving_world(disk.path / "home") as here:
        with here.load() as loop:
            _after(loop, _SOME)
            disk.stand_still(seconds).join()
            _after(loop, _SOME)
        faults = here.check(loop)
        assert not faults, faults
        slowest = max(one.ended - one.started for one in loop.load.sent)
        assert state.champion(here.settings, "m") is not None
    asked = len(loop.load.sent)
    return f"{asked} requests, all answered and logged once; the slowest took {slowest:.1f} s of {seconds:.0f} s"


CASES: tuple[Case, ...] = (
    Case("fault/postgres-restarted", postgres_restarted.__doc__ or "", postgres_restarted),
    Case("fault/thousand-connections", crowd.__doc__ or "", crowd),
    Case("fault/postgres-full-house", too_many_for_postgres.__doc__ or "", too_many_for_postgres),
    Case("fault/full-log-disk", full_log_disk.__doc__ or "", full_log_disk),
    Case("fault/log-disk-stands-still", log_disk_stands_still.__doc__ or "", log_disk_stands_still),
)
