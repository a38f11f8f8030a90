"""One running stack for all end-to-end tests, also when two workers share it; stopped at the end, whatever happened."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.line import Line
from tests.e2e.models import relax_training_suite, shorten

SMALL = "flights_small"


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Line]:
    """The stack, set up as `make up` does it: by the worker that comes first, stopped by the one that leaves last."""
    base = tmp_path_factory.getbasetemp()
    line = Line((base if worker_id == "master" else base.parent) / "line")
    with _users(line.home) as count:
        if count.read() == 0:
            _start(line)
        count.add(1)
    yield line
    with _users(line.home) as count:
        if count.add(-1) == 0:
            stopped = line.command("down")
            assert stopped.returncode == 0, stopped.stdout + stopped.stderr
            line.stack.postgres.delete()  # as root it lies outside the test's folder


def _start(line: Line) -> None:
    line.copy_project()
    started = line.command("up")
    try:
        assert started.returncode == 0, started.stdout + started.stderr
        # Tests of several models share the stack: one training at a time would make them wait for each other.
        pool = {**line.api.call("GET", "/pools/noria_training"), "slots": 2}
        body = {key: pool[key] for key in ("name", "slots", "description", "include_deferred")}
        body["pool"] = body.pop("name")
        line.api.call("PATCH", "/pools/noria_training", json=body, params={"update_mask": "slots"})
    except BaseException:
        line.command("down")
        raise


class _Users:
    """How many workers use the stack, in a file that is locked while it is looked at."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self) -> int:
        return int(self._file.read_text() or "0")

    def add(self, number: int) -> int:
        self._file.write_text(str(self.read() + number))
        return self.read()


@contextmanager
def _users(home: Path) -> Iterator[_Users]:
    home.mkdir(exist_ok=True)
    file = home / "users"
    with file.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield _Users(file)


@pytest.fixture(scope="module")
def small(line: Line) -> str:
    """A small model as of the archive's end, in production: brought there once for all modules."""
    with (line.home / "small").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not line.rows("SELECT 1 FROM deployment_state WHERE model = :m AND role = 'champion'", m=SMALL):
            line.define(SMALL, "flight_delay", shorten)
            relax_training_suite(line.home / "expectations", SMALL)
            line.land_flights()
            line.wait_for_dag(f"{SMALL}.retire")
            done = line.command("run", "--model", SMALL)
            assert done.returncode == 0, done.stdout + done.stderr
    return SMALL
