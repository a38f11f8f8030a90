"""Whom a kill hits: each of the processes that the product consists of, found as the stack itself knows them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import psutil

from include.stack.processes import wait_for_end
from include.steps.catalog import SUMMARIES
from tests.e2e.line import Line

_STEPS = {f"noria-{step}"[:15] for step in SUMMARIES}
SERVICES = ("warm-parent", "scheduler", "dag-processor", "triggerer", "api-server", "mlflow", "server")
STEP, POSTGRES = "step", "postgres"
NO_STEP = "no step"
VICTIMS = (STEP, *SERVICES, POSTGRES)


def kill(line: Line, victim: str, goes_on: Callable[[], bool]) -> str:
    """kill -9; returns which steps ran in that moment.

    :param goes_on: whether the work still runs: a step is waited for as long as there will be one.
    """
    running = steps(line)
    while victim == STEP and not running and goes_on():
        time.sleep(0.02)
        running = steps(line)
    names = ", ".join(sorted(map(_name, running))) or NO_STEP
    if victim == STEP:
        for process in running[:1]:
            end(process)
    elif victim == POSTGRES:
        end(psutil.Process(int((line.stack.postgres.data / "postmaster.pid").read_text().split()[0])))
    else:
        end(psutil.Process(line.stack.instance.processes[victim].pid))
    return names


def steps(line: Line) -> list[psutil.Process]:
    """Processes of this stack's steps: forks of its warm parent, and those that had to start cold."""
    home = str(line.settings.home)
    return [process for process in psutil.process_iter(["name"]) if _is_step(process, home)]


def _is_step(process: psutil.Process, home: str) -> bool:
    try:
        words = process.cmdline() if process.info["name"].startswith("python") else []
        cold = words[1:3] == ["-m", "include.steps"] and "replay" not in words
        return (cold or process.info["name"] in _STEPS) and process.environ().get("NORIA_HOME") == home
    except psutil.Error:
        return False


def _name(process: psutil.Process) -> str:
    name: str = process.info["name"]
    return name.removeprefix("noria-") if name in _STEPS else "a cold step"


def end(process: psutil.Process) -> None:
    """kill -9, and wait until it is gone."""
    try:
        os.kill(process.pid, signal.SIGKILL)
    except ProcessLookupError:  # it ended by itself a moment ago
        return
    wait_for_end([process], 10)
