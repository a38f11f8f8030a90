"""What a fuzz target is, and where its inputs lie."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

CORPUS: Final = Path(__file__).parent / "corpus"


class Broken(AssertionError):
    """A parser did what it must not do, without raising anything itself."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One parser of outside input.

    :param name: what ``--only`` takes; the name of the corpus' folder.
    :param check: gives the bytes to the parser. It returns if they are understood or refused as they should be, and
        raises anything at all if not.
    :param seeds: inputs to begin with that are not worth a file of their own: from the project itself, or made.
    :param words: what the fuzzer may put into an input as a whole.
    :param longest: bytes of an input.
    """

    name: str
    check: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]] = tuple
    words: Sequence[bytes] = ()
    longest: int = 4096

    @property
    def corpus(self) -> Path:
        """The folder of the inputs that are kept."""
        return CORPUS / self.name

    def inputs(self) -> list[tuple[str, bytes]]:
        """Everything that is known of, by name: the seeds, and what is kept."""
        kept = sorted(path for path in self.corpus.glob("*") if path.is_file())
        seeds = [(f"seed {number}", data) for number, data in enumerate(self.seeds())]
        return [*seeds, *((path.name, path.read_bytes()) for path in kept)]


@cache
def scratch() -> Path:
    """A folder of this process, in memory where that is possible, removed at its end."""
    memory = Path("/dev/shm")
    folder = tempfile.TemporaryDirectory(prefix="noria-fuzz-", dir=memory if memory.is_dir() else None)
    _kept.append(folder)
    return Path(folder.name)


_kept: list[tempfile.TemporaryDirectory[str]] = []
