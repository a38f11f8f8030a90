"""The probe as a program of the warm parent, and a warm parent that forks it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy  # noqa: F401 - a library with threads, imported before the fork

from include.settings import PROJECT
from include.steps import command
from include.steps.warm_protocol import connect, socket_path
from tests.plugins import probe_steps

# What a test's parent imports last: this module itself.
NAME = "tests.plugins.probe_program"


def main(arguments: Sequence[str]) -> int:
    probe_steps.install()
    return command.main(arguments)


@contextmanager
def warm_parent(
    home: Path, project: Path = PROJECT, program: str = NAME, *, bare: bool = True
) -> Iterator[subprocess.Popen[bytes]]:
    """A warm parent that is ready, at a home.

    :param project: the tree whose code it imports.
    :param program: the module whose ``main(arguments)`` is a step's whole life.
    :param bare: import little, which takes a second, not ten.
    """
    parent = started(home, project, program, bare=bare)
    try:
        wait_until_ready(home, parent)
        yield parent
    finally:
        parent.terminate()
        parent.wait()


def started(home: Path, project: Path = PROJECT, program: str = NAME, *, bare: bool = True) -> subprocess.Popen[bytes]:
    """A warm parent that still imports; its words are in ``warm-parent.log``."""
    arguments = [sys.executable, "-m", "include.steps.warm_parent", "--program", program, *(["--bare"] if bare else [])]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "NORIA_HOME": str(home), "PYTHONPATH": str(project)}
    with (home / "warm-parent.log").open("wb") as log:
        return subprocess.Popen(arguments, cwd=project, env=environment, stdout=log, stderr=subprocess.STDOUT)


def wait_until_ready(home: Path, parent: subprocess.Popen[bytes], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while (connection := connect(socket_path(home), seconds=5)) is None:
        alive = parent.poll() is None and time.monotonic() < end
        assert alive, (home / "warm-parent.log").read_text()
        time.sleep(0.1)
    connection.close()
