"""A training set as tables in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from include.spec.lengths import PARTS
from include.training.part_on_disk import read_part
from include.training.run import read_inputs
from include.training.training_set import TrainingSet


@dataclass(frozen=True, kw_only=True)
class TrainingFrames:
    """The rows of a training set, in the order in which a model is trained on them.

    :param digest: of all its rows; equal digests are equal rows.
    :param windows: what each part holds: start and end of event time, or of places in percent.
    :param missing: keys of partitions that are not in it.
    :param train: keys, event time, ``feature_…`` columns and ``label``; ``validation`` and ``holdout`` likewise.
    :param holdout_inputs: the raw columns of the holdout's rows, in the same order: what a request would hold.
    """

    digest: str
    windows: Mapping[str, Mapping[str, str]]
    missing: tuple[str, ...]
    train: pd.DataFrame = field(repr=False)
    validation: pd.DataFrame = field(repr=False)
    holdout: pd.DataFrame = field(repr=False)
    holdout_inputs: pd.DataFrame = field(repr=False)

    @classmethod
    def read(cls, training_set: TrainingSet) -> TrainingFrames:
        """Read a training set's files."""
        parts = {part: read_part(training_set.directory, part) for part in PARTS}
        return cls(
            digest=training_set.digest,
            windows=training_set.windows,
            missing=training_set.missing,
            holdout_inputs=read_inputs(training_set.directory),
            **parts,
        )
