"""What a case is: a fault with a name, done to a world, after which every invariant must hold."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.chaos.world import World


@dataclass(frozen=True)
class Case:
    """One fault.

    :param name: ``kill/train/scheduler``, ``fault/full-disk``: by it one case is run alone.
    :param what: what is done, in a line.
    :param run: does it, lets the work finish and checks; returns a line of what was seen. It raises AssertionError or
        :class:`Broken` if something does not hold. All chance comes from the given source.
    """

    name: str
    what: str
    run: Callable[[World, random.Random], str]


class MeansLacking(Exception):
    """This machine cannot do the fault, so the case says nothing and is not counted as held; carries why."""


@dataclass(frozen=True)
class Breach:
    """An invariant that does not hold.

    :param invariant: its name, such as ``rows/source``.
    :param what: which rows, version or file, and what is wrong with them.
    """

    invariant: str
    what: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.what}"


class Broken(AssertionError):
    """Invariants do not hold; carries them all."""

    def __init__(self, breaches: Sequence[Breach]) -> None:
        self.breaches = tuple(breaches)
        super().__init__("\n".join(str(breach) for breach in breaches))
