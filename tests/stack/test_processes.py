"""Services are started apart, recognised after a restart of the caller, and stopped with all their children."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from include.stack.instance import ProcessIdentity
from include.stack.processes import (
    Service,
    ServiceFailed,
    is_alive,
    start,
    stop,
    wait_for,
    wait_for_end,
    wait_until_ready,
)


def service(folder: Path, program: str) -> Service:
    """A Python program as a service that is ready when it has written the file `ready`."""
    return Service(
        name="sample",
        command=[sys.executable, "-c", program],
        environment={**os.environ, "FOLDER": str(folder)},
        log=folder / "log" / "sample.log",
        ready=(folder / "ready").exists,
    )


READY = "import os, pathlib, time; pathlib.Path(os.environ['FOLDER'], 'ready').touch(); "


def test_a_started_service_is_alive_until_it_is_stopped(tmp_path: Path) -> None:
    sample = service(tmp_path, READY + "time.sleep(60)")
    identity = start(sample)
    wait_until_ready(sample, identity, 20)
    assert is_alive(identity)
    stop([identity])
    assert not is_alive(identity)


def test_stopping_ends_children_and_what_ignores_the_polite_signal(tmp_path: Path) -> None:
    stubborn = (
        "import signal, subprocess, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
        "open(os.environ['FOLDER'] + '/child', 'w').write(str(child.pid)); "
    )
    sample = service(tmp_path, "import os; " + stubborn + READY + "time.sleep(60)")
    identity = start(sample)
    wait_until_ready(sample, identity, 20)
    child = int((tmp_path / "child").read_text())
    stop([identity], seconds=0.5)
    assert not is_alive(identity)
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def parent_and_child(folder: Path) -> tuple[ProcessIdentity, psutil.Process]:
    """A service that has started a process, whose end it takes no note of."""
    program = (
        "import os, subprocess, sys; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
        "open(os.environ['FOLDER'] + '/child', 'w').write(str(child.pid)); "
    )
    sample = service(folder, program + READY + "time.sleep(60)")
    identity = start(sample)
    wait_until_ready(sample, identity, 20)
    return identity, psutil.Process(int((folder / "child").read_text()))


def test_what_a_killed_service_left_behind_is_ended_too(tmp_path: Path) -> None:
    identity, child = parent_and_child(tmp_path)
    os.kill(identity.pid, signal.SIGKILL)
    wait_for(lambda: not is_alive(identity), 10)
    assert not wait_for_end([child], 0)
    stop([identity])
    assert wait_for_end([child], 0)


def test_what_has_ended_but_is_not_buried_by_its_parent_is_not_waited_for(tmp_path: Path) -> None:
    identity, child = parent_and_child(tmp_path)
    began = time.monotonic()
    stop([ProcessIdentity(child.pid, child.create_time())], seconds=15)
    assert time.monotonic() - began < 10
    assert child.status() == psutil.STATUS_ZOMBIE
    stop([identity])


def test_a_service_that_ends_while_starting_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    sample = service(tmp_path, "raise SystemExit('no such database')")
    with pytest.raises(ServiceFailed, match=r"(?s)sample ended while starting.*no such database"):
        wait_until_ready(sample, start(sample), 20)


def test_a_service_that_is_never_ready_is_told_and_not_waited_for_endlessly(tmp_path: Path) -> None:
    sample = service(tmp_path, "import time; time.sleep(60)")
    identity = start(sample)
    begin = time.monotonic()
    with pytest.raises(ServiceFailed, match="was not ready within 1 s"):
        wait_until_ready(sample, identity, 1)
    stop([identity])
    assert time.monotonic() - begin < 20


def test_another_process_with_the_same_id_is_neither_taken_for_it_nor_stopped(tmp_path: Path) -> None:
    sample = service(tmp_path, READY + "time.sleep(60)")
    identity = start(sample)
    wait_until_ready(sample, identity, 20)
    earlier = replace(identity, started=identity.started - 100)
    assert not is_alive(earlier)
    stop([earlier])
    assert is_alive(identity)
    stop([identity])
