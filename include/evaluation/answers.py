"""Answers of one version, wherever they come from, each with its truth if that is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.evaluation.grouping import Floats


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Some answers.

    :param labels: shape (rows,), NaN where the truth is not known; of several classes their places.
    :param predictions: shape (rows,), or of several classes their probabilities, shape (rows, classes).
    :param partitions: each row's partition key, or its day; rows of one share their luck. Shape (rows,).
    :param columns: the source's columns that the objective reads, each of shape (rows,).
    :param slices: the columns by whose values quality is looked at, each of shape (rows,), as far as they are known.
    :param answered: how many answers there are, with or without a label.
    """

    labels: Floats
    predictions: Floats
    partitions: NDArray[Any]
    columns: Mapping[str, Any] = field(default_factory=dict)
    slices: Mapping[str, Any] = field(default_factory=dict)
    answered: int

    @property
    def rows(self) -> int:
        """How many rows are here."""
        return int(self.labels.size)

    def chosen(self, which: NDArray[np.bool_]) -> Answers:
        """Only some of the rows; ``answered`` stays.

        :param which: shape (rows,).
        """
        return replace(
            self,
            labels=self.labels[which],
            predictions=self.predictions[which],
            partitions=self.partitions[which],
            columns={name: values[which] for name, values in self.columns.items()},
            slices={name: values[which] for name, values in self.slices.items()},
        )

    def within(self, keys: list[str]) -> Answers:
        """Only rows of these partitions; ``answered`` is how many these are."""
        found = self.chosen(np.isin(self.partitions, keys))
        return replace(found, answered=found.rows)

    def labelled(self) -> Answers:
        """Only rows whose truth is known."""
        return self.chosen(~np.isnan(self.labels))
