"""ROC AUC and average precision of one ranking under many weightings of its rows.

Sums of counts are whole numbers far below 2^53, so that both ways give the same areas, whatever order they add in.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from include.evaluation.grouping import Floats, Groups, ratio

#: Numbers of a piece of a ranking: some megabytes, so that it stays in the processor's cache.
_CELLS: Final = 400_000


class Ranking:
    """Rows in falling order of prediction, those with the same one as one tie.

    :param labels: shape (rows,); 0 or 1.
    :param predictions: shape (rows,).
    """

    def __init__(self, labels: Floats, predictions: Floats) -> None:
        self._order = np.argsort(-predictions, kind="stable")
        ranked = predictions[self._order]
        self._labels = labels[self._order]
        self._starts = np.flatnonzero(np.concatenate(([True], ranked[1:] != ranked[:-1])))

    def of_rows(self, weights: Floats) -> tuple[Floats, Floats]:
        """ROC AUC and average precision for each weighting; NaN where undefined.

        :param weights: shape (weightings, rows).
        """
        everyone = weights[:, self._order]
        positive = everyone * self._labels
        if self._starts.size < self._labels.size:
            everyone = np.add.reduceat(everyone, self._starts, axis=1)
            positive = np.add.reduceat(positive, self._starts, axis=1)
        found = np.cumsum(positive, axis=1)
        seen = np.cumsum(everyone, axis=1)
        yes, no = found[:, -1], seen[:, -1] - found[:, -1]
        pairs = np.einsum("ij,ij->i", everyone - positive, found - positive / 2)
        precision = np.divide(found, seen, out=np.zeros_like(found), where=seen > 0)
        return ratio(pairs, yes * no), ratio(np.einsum("ij,ij->i", positive, precision), yes)

    def of_groups(self, counts: Floats, groups: Groups) -> tuple[Floats, Floats]:
        """The same where all rows of a group count the same: a row's weight is its group's.

        Only at ties with a positive row there is something to add. What is ranked up to there is counted by group once,
        piece after piece; what that is in each weighting is then a product of matrices.

        :param counts: shape (weightings, groups).
        """
        with threadpool_limits(1, "blas"):  # small products: threads would mostly wait for each other
            return self._of_groups(counts, groups)

    def _of_groups(self, counts: Floats, groups: Groups) -> tuple[Floats, Floats]:
        group = groups.places[self._order]
        yes = counts @ groups.sums(self._labels, self._order)
        no = counts @ groups.sizes - yes
        tie_has = np.add.reduceat(self._labels, self._starts) > 0
        lengths = np.diff(np.append(self._starts, self._labels.size))
        # Of each row: the first tie with a positive that is not before its own.
        block: NDArray[np.intp] = np.repeat(np.cumsum(tie_has) - tie_has, lengths)
        in_tie = np.repeat(tie_has, lengths)
        blocks, size = int(tie_has.sum()), max(1, _CELLS // max(len(counts), groups.count))
        pairs, precision = np.zeros(len(counts)), np.zeros(len(counts))
        seen_until, found_until = np.zeros(groups.count), np.zeros(groups.count)
        for first in range(0, blocks, size):
            last = min(first + size, blocks)
            rows = slice(*np.searchsorted(block, (first, last)))
            cells = (block[rows] - first) * groups.count + group[rows]
            is_yes = self._labels[rows] == 1

            def counted(chosen: NDArray[np.intp], ties: int = last - first) -> Floats:
                found = np.bincount(chosen, minlength=ties * groups.count)
                return found.reshape(ties, groups.count).astype(np.float64)

            everyone, positive = counted(cells), counted(cells[is_yes])
            seen_by_group, found_by_group = seen_until + everyone.cumsum(axis=0), found_until + positive.cumsum(axis=0)
            seen_until, found_until = seen_by_group[-1], found_by_group[-1]
            seen, found, here = (part @ counts.T for part in (seen_by_group, found_by_group, positive))
            below = no - seen + found
            if (beside := in_tie[rows] & ~is_yes).any():
                below += counted(cells[beside]) @ counts.T / 2
            pairs += np.einsum("ij,ij->j", here, below)
            np.divide(found, seen, out=found, where=seen > 0)
            precision += np.einsum("ij,ij->j", here, found)
        return ratio(pairs, yes * no), ratio(precision, yes)
