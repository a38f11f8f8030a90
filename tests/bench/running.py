"""A whole stack of a benchmark's own, in a temporary folder: started as `make up` does it, removed at the end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.line import Line


@contextmanager
def running_line(line: Line) -> Iterator[Line]:
    """Start the stack of a folder that has definitions, suites and DAG files; stop it and delete its state at the end.

    :raises SystemExit: if it does not start.
    """
    try:
        started = line.command("up")
        if started.returncode != 0:
            raise SystemExit(f"The stack did not start:\n{started.stdout}{started.stderr}")
        yield line
    finally:
        line.command("clean")


@contextmanager
def bench_folder(name: str) -> Iterator[Path]:
    """A temporary folder."""
    folder = Path(tempfile.mkdtemp(prefix=f"noria-bench-{name}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
