"""What a resample is made of: whole partitions, since rows of one partition share their luck; rows only if need be.

The cluster bootstrap (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8; Field and Welsh,
Bootstrapping Clustered Data, J. R. Statist. Soc. B 69, 2007): flights of one day meet the same storm, so a holdout of
28 days holds 28 independent pieces of evidence, not 24,000. See ``ADR-fair-comparison.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.evaluation.grouping import Floats, Groups
from include.spec.partitions import DAY_OF_KEY, WHOLE_KEY

#: Fewest groups that are resampled whole. With fewer the resamples are too much alike, and intervals far too narrow.
FEWEST_GROUPS: Final = 10

Unit = Literal["partition", "day", "row"]


@dataclass(frozen=True)
class Resampling:
    """How resamples of some rows are drawn.

    :param unit: what is drawn: whole partitions, whole days (of hourly partitions), or single rows.
    :param rows: number of rows.
    :param groups: each row's unit; None if rows are drawn.
    :param reason: why single rows are drawn, in a sentence for a person; None if they are not.
    """

    unit: Unit
    rows: int
    groups: Groups | None
    reason: str | None = None

    @classmethod
    def of_rows(cls, rows: int, reason: str | None = None) -> Resampling:
        """Rows that have nothing to do with each other, or of whose partitions there are too few."""
        return cls("row", rows, None, reason)

    @classmethod
    def of_partitions(cls, partitions: Sequence[str] | NDArray[Any]) -> Resampling:
        """Whole partitions, hours together as their days; rows if there are fewer than :data:`FEWEST_GROUPS`.

        Data without time has no partitions: its rows, an entity each, have nothing to do with each other.

        :param partitions: each row's partition key, shape (rows,).
        """
        keys = np.asarray(partitions, dtype=object)
        places, names = pd.factorize(keys, sort=True)  # millions of texts are hashed, not sorted
        if list(names) == [WHOLE_KEY]:
            return cls.of_rows(int(keys.size))
        place_of_day, days = pd.factorize(np.array([name[:DAY_OF_KEY] for name in names], dtype=object), sort=True)
        if FEWEST_GROUPS <= len(days) < len(names):
            return cls("day", keys.size, Groups(place_of_day[places], len(days)))
        if len(names) >= FEWEST_GROUPS:
            return cls("partition", keys.size, Groups(places, len(names)))
        few = f"{len(names)} partition{'' if len(names) == 1 else 's'}"
        reason = (
            f"the rows come from {few}, and fewer than {FEWEST_GROUPS} cannot be resampled whole. Rows of one "
            "partition resemble each other, so these intervals are too narrow: make the holdout longer."
        )
        return cls.of_rows(int(keys.size), reason)

    @property
    def units(self) -> int:
        """How many units there are."""
        return self.rows if self.groups is None else self.groups.count

    def counts(self, random: np.random.Generator, rounds: int) -> Floats:
        """How often each unit is in each resample: shape (rounds, units)."""
        chosen = random.integers(0, self.units, size=(rounds, self.units))
        chosen += np.arange(rounds)[:, None] * self.units
        counted = np.bincount(chosen.ravel(), minlength=rounds * self.units).reshape(rounds, self.units)
        return counted.astype(np.float64)

    def to_document(self) -> dict[str, Any]:
        """JSON: ``unit``, ``units``, ``reason``."""
        return {"unit": self.unit, "units": self.units, "reason": self.reason}
