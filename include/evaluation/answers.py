"""Answers of one version whose truth is known, wherever they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from include.evaluation.scoring import Floats


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Some answers, each with its truth.

    :param labels: shape (rows,); of several classes their places.
    :param predictions: shape (rows,), or of several classes their probabilities, shape (rows, classes).
    :param partitions: each row's partition key, or its day; rows of one share their luck. Shape (rows,).
    :param columns: the source's columns that the objective reads, each of shape (rows,).
    :param answered: how many answers there are, with or without a label.
    """

    labels: Floats
    predictions: Floats
    partitions: NDArray[Any]
    columns: Mapping[str, Any] = field(default_factory=dict)
    answered: int

    @property
    def rows(self) -> int:
        """How many have a label."""
        return int(self.labels.size)
