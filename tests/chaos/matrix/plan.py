"""Who is killed in a round, drawn by what is still missing; and when the works have to begin for that."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from tests.chaos.matrix.tally import Cell
from tests.chaos.victims import POSTGRES

HARSH = ("scheduler", POSTGRES)
"""After these a work's tasks are orphans for half a minute. They come last: what were killed meanwhile would find every
work at the same point, waiting."""
_KILLS = (3, 4, 5, 5)
_LAG = 1.5
"""Seconds until a run that was asked for runs."""


def draw_victims(missing: Mapping[Cell, int], chance: random.Random) -> list[str]:
    """One to five different victims; the more instants somebody lacks, the likelier. At most one harsh one, last."""
    lacking: Counter[str] = Counter()
    for (_, victim), count in missing.items():
        lacking[victim] = max(lacking[victim], count)
    drawn: list[str] = []
    for _ in range(chance.choice(_KILLS)):
        names = sorted(set(lacking) - set(drawn))
        if any(name in HARSH for name in drawn):
            names = [name for name in names if name not in HARSH]
        if names:
            drawn += chance.choices(names, [lacking[name] for name in names])
    return sorted(drawn, key=lambda name: name in HARSH)


def works_for(victims: Collection[str], missing: Mapping[Cell, int]) -> list[str]:
    """The works that lack an instant of one of these victims."""
    return sorted({work for work, victim in missing if victim in victims})


def draw_wait(lengths: Sequence[float], chance: random.Random, *, is_first: bool) -> float:
    """Seconds until the next kill.

    The first kill finds each work somewhere in its whole length, as it begins that long before. Later ones find works
    that have gone on, and others that begin again.
    """
    return chance.uniform(0.1, 1.0 if is_first else 0.5) * max(lengths)


def draw_start(kill_at: float, now: float, length: float, chance: random.Random) -> float:
    """When a work is to begin so that the kill finds it at an instant drawn over its length."""
    return kill_at - min(_LAG + chance.random() * length, kill_at - now)
