"""What the matrix has done: rounds in a file, by seed and commit, so that a run that was cut goes on where it was."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

Cell = tuple[str, str]
"""A work and a victim."""
_RECENT = 8


@dataclass(frozen=True)
class Instant:
    """A kill that counts for one cell.

    :param at: seconds after the work's run began.
    :param hit: the work's tasks that were under way.
    :param seconds: from the kill until the work was finished, `make up` included.
    :param tries: tries beyond the first that its tasks needed.
    :param again: why it had to be begun anew; empty if Airflow's own retries finished it.
    """

    work: str
    victim: str
    at: float
    hit: str
    seconds: float
    tries: int
    again: str = ""

    @property
    def cell(self) -> Cell:
        """Where it counts."""
        return self.work, self.victim


@dataclass(frozen=True)
class Round:
    """Several kills, after which all works were finished and everything was checked.

    :param commit: of what was killed.
    :param killed: the victims, one after another.
    :param instants: what of it counts.
    :param breaches: by work, what did not hold.
    :param lengths: seconds of the runs that nobody disturbed, by work.
    :param parts: where the round's seconds went.
    """

    number: int
    commit: str
    seconds: float
    killed: Sequence[str]
    instants: Sequence[Instant]
    breaches: dict[str, list[str]] = field(default_factory=dict)
    lengths: dict[str, list[float]] = field(default_factory=dict)
    parts: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, document: dict[str, Any]) -> Round:
        """From what :func:`dataclasses.asdict` made of it."""
        return cls(**{**document, "instants": [Instant(**instant) for instant in document["instants"]]})


@dataclass
class Tally:
    """The rounds until now.

    :param file: where they are kept, a line for each.
    :param wanted: instants that each cell is to have.
    """

    file: Path
    cells: Sequence[Cell]
    wanted: int
    rounds: list[Round] = field(default_factory=list)

    @classmethod
    def opened(cls, file: Path, cells: Sequence[Cell], wanted: int) -> Tally:
        """With the rounds that the file has; a last line that was cut when the run was killed is taken out of it."""
        lines = file.read_bytes().split(b"\n") if file.exists() else [b""]
        if lines[-1]:
            os.truncate(file, sum(len(line) + 1 for line in lines[:-1]))
        return cls(file, cells, wanted, [Round.of(json.loads(line)) for line in lines[:-1]])

    def take_over(self, rounds: Iterable[Round]) -> int:
        """Begin with an older commit's rounds; those that broke something were mended since, and do not count.

        :return: how many were left out.
        """
        broken = 0
        for done in rounds:
            if done.breaches:
                broken += 1
            else:
                self.add(done)
        return broken

    def next_number(self) -> int:
        """Of the round that follows."""
        return max((done.number for done in self.rounds), default=0) + 1

    def add(self, done: Round) -> None:
        """Keep a round; on disk when this returns."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a") as handle:
            handle.write(json.dumps(asdict(done)) + "\n")
            handle.flush()
            os.fsync(handle.fileno())
        self.rounds.append(done)

    def instants(self) -> dict[Cell, list[Instant]]:
        """What counts, by cell."""
        found: dict[Cell, list[Instant]] = defaultdict(list)
        for done in self.rounds:
            for instant in done.instants:
                found[instant.cell].append(instant)
        return found

    def missing(self) -> dict[Cell, int]:
        """How many instants each cell still lacks; cells that have all are left out."""
        have = Counter(instant.cell for done in self.rounds for instant in done.instants)
        return {cell: self.wanted - have[cell] for cell in self.cells if have[cell] < self.wanted}

    def breaches(self, cell: Cell) -> list[str]:
        """What did not hold after a round in which the cell was hit."""
        work, _ = cell
        hit = [done for done in self.rounds if any(instant.cell == cell for instant in done.instants)]
        return [breach for done in hit for breach in done.breaches.get(work, [])]

    def all_breaches(self) -> list[tuple[int, str, str]]:
        """Round, work and what did not hold."""
        return [
            (done.number, work, breach)
            for done in self.rounds
            for work in done.breaches
            for breach in done.breaches[work]
        ]

    def length(self, work: str, otherwise: float) -> float:
        """How long a work takes of late when nobody disturbs it."""
        known = [seconds for done in self.rounds for seconds in done.lengths.get(work, [])]
        return median(known[-_RECENT:]) if known else otherwise

    def round_seconds(self, otherwise: float) -> float:
        """How long a round takes of late."""
        return median([done.seconds for done in self.rounds[-_RECENT:]] or [otherwise])


def counted(hits: Iterable[Instant], missing: dict[Cell, int]) -> list[Instant]:
    """Those of cells that are asked for: more than are missing also count, others do not."""
    return [hit for hit in hits if hit.cell in missing]
