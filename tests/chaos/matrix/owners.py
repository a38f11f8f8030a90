"""Whose step a process is: of the run whose Airflow task holds the other end of its standard input."""

from __future__ import annotations

import os
import re
from pathlib import Path

import psutil

from tests.chaos.matrix.observer import Observer
from tests.chaos.victims import steps
from tests.e2e.line import Line

_TITLE = re.compile(r"airflow worker -- ([0-9a-f-]{36})")


def steps_by_run(line: Line, observer: Observer) -> dict[tuple[str, str], psutil.Process]:
    """A step of each run that has one at this moment, by DAG and run."""
    running = {pipe: process for process in steps(line) if (pipe := _stdin(process))}
    if not running:
        return {}
    found = {}
    for task, held in _tasks(line):
        for pipe in running.keys() & held:
            run = observer.run_of(task)
            if run is not None:
                found[run] = running[pipe]
    return found


def _stdin(process: psutil.Process) -> str:
    try:
        return os.readlink(f"/proc/{process.pid}/fd/0")
    except OSError:  # it has ended meanwhile
        return ""


def _tasks(line: Line) -> list[tuple[str, set[str]]]:
    """Airflow's task processes: the task instance's id, and what the process has open."""
    try:
        children = psutil.Process(line.stack.instance.processes["scheduler"].pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    found = []
    for child in children:
        try:
            title = _TITLE.match(" ".join(child.cmdline()))
        except psutil.Error:
            continue
        if title:
            found.append((title[1], handles(child.pid)))
    return found


def handles(pid: int) -> set[str]:
    """What a process has open, such as ``pipe:[4711]``."""
    found = set()
    try:
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            found.add(os.readlink(handle))
    except OSError:  # it has ended meanwhile
        return found
    return found
