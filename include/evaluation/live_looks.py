"""When growing evidence is looked at, and how much of its chance of a false alarm each look may spend.

Evidence that is tested again and again at 5 % says "worse" of any model sooner or later (Armitage, McPherson and Rowe,
J. R. Statist. Soc. A 132, 1969). So a check looks only when its evidence has grown by half, at exactly so many rows as
they came in; asking more often asks of the same rows and gets the same answer. The looks share the chance (alpha
spending: Lan and DeMets, Biometrika 70, 1983; over geometric epochs: Howard, Ramdas, McAuliffe and Sekhon, Annals of
Statistics 49, 2021): where there is an end, each gets the same part; where there is none, look k gets
alpha / ((k + 1)(k + 2)), which adds up to alpha over all looks that will ever be.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

#: By how much evidence grows from one look to the next.
GROWTH: Final = 1.5
#: From so many rows on each look is at the newest rows alone, in blocks of this size, so that what begins late is seen.
BLOCK: Final = 4096


@dataclass(frozen=True)
class Look:
    """One look at evidence: rows ``start`` to ``stop`` in their order of arrival.

    :param number: 0 for the first.
    :param alpha: probability of a false alarm that it may spend.
    """

    number: int
    start: int
    stop: int
    alpha: float

    @property
    def rows(self) -> slice:
        """The rows that it is at."""
        return slice(self.start, self.stop)


def look_at(rows: int, first: int, alpha: float) -> Look | None:
    """The newest look that so many rows allow, without an end, or None before the first.

    :param rows: how many have come in.
    :param first: how many the first look needs.
    :param alpha: chance of a false alarm in all looks together.
    """
    sizes = _sizes(first, BLOCK)
    number = sum(size <= rows for size in sizes) - 1
    if number < 0:
        return None
    start, stop = 0, sizes[number]
    blocks = rows // BLOCK
    if blocks >= 2:
        number, start, stop = number + blocks - 1, (blocks - 1) * BLOCK, blocks * BLOCK
    return Look(number, start, stop, alpha / ((number + 1) * (number + 2)))


def look_until(rows: int, first: int, last: int, alpha: float) -> Look | None:
    """The newest look at everything from the beginning on that so many rows allow, or None before the first.

    :param last: how many rows the last look takes; there is none after it.
    """
    sizes = _sizes(first, last)
    number = sum(size <= rows for size in sizes) - 1
    return None if number < 0 else Look(number, 0, sizes[number], alpha / len(sizes))


@cache
def _sizes(first: int, last: int) -> tuple[int, ...]:
    """From ``first``, each half as large again, to ``last``."""
    sizes = [first]
    while sizes[-1] < last:
        sizes.append(min(last, max(sizes[-1] + 1, round(sizes[-1] * GROWTH))))
    return tuple(sizes)
