"""Faults that a library does between a process and the C library: made of a C source when it is needed."""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.case import MeansLacking

_SOURCES = Path(__file__).parent / "preloaded"


@dataclass(frozen=True)
class Preloaded:
    """A library and the number that it goes by, which every process that has loaded it shares.

    :param environment: variables of the processes that load it.
    """

    environment: dict[str, str]
    number: Path

    def set(self, value: int) -> None:
        """Tell all of them, at once: they have the file in their memory."""
        with self.number.open("r+b") as file:
            file.write(struct.pack("q", value))


@contextmanager
def moved_clock() -> Iterator[Preloaded]:
    """The wall clock, moved by so many seconds; see ``preloaded/clock.c``.

    :raises MeansLacking: if this machine cannot make the library.
    """
    with _made("clock") as (library, number):
        yield Preloaded({"LD_PRELOAD": str(library), "CHAOS_CLOCK": str(number)}, number)


@contextmanager
def slow_disk(folder: Path) -> Iterator[Preloaded]:
    """A folder whose files take so many microseconds more to open, write and sync; see ``preloaded/slow_disk.c``.

    :raises MeansLacking: if this machine cannot make the library.
    """
    with _made("slow_disk") as (library, number):
        more = {"CHAOS_SLOW_FOLDER": str(folder), "CHAOS_SLOW_DISK": str(number)}
        yield Preloaded({"LD_PRELOAD": str(library), **more}, number)


@contextmanager
def _made(name: str) -> Iterator[tuple[Path, Path]]:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise MeansLacking("there is no C compiler here (Debian and Ubuntu: `apt-get install gcc libc6-dev`)")
    folder = Path(tempfile.mkdtemp(prefix="noria-preloaded-"))
    try:
        library, number = folder / f"{name}.so", folder / "number"
        command = [compiler, "-O2", "-shared", "-fPIC", "-o", library, _SOURCES / f"{name}.c", "-ldl", "-pthread"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise MeansLacking(f"the C compiler here cannot make {name}.c: {done.stderr.strip()[:200]}")
        number.write_bytes(bytes(8))
        yield library, number
    finally:
        shutil.rmtree(folder, ignore_errors=True)
