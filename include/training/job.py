"""One training: what it is made from, and where its predictions lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pandas as pd

from include.settings import Settings
from include.spec.definition import Definition
from include.training.fingerprint import Fingerprint
from include.training.part_on_disk import PartOnDisk
from include.training.trainers.boosting import Machines

Document = dict[str, Any]
PREDICTIONS: Final = "predictions/holdout.parquet"
VALIDATION: Final = "predictions/validation.parquet"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training: what it is made from, and its name.

    :param reference: of the training set.
    :param directory: of the training set.
    :param scratch: folder for parts that are too large for memory; None if they are read whole.
    :param train: the training part.
    :param description: content of ``features.json``.
    :param machines: who boosts; this process if left out.
    """

    settings: Settings
    definition: Definition
    as_of: datetime
    reference: Mapping[str, Any]
    directory: Path
    scratch: Path | None
    train: pd.DataFrame | PartOnDisk
    description: Document
    fingerprint: Fingerprint
    machines: Machines | None = None

    @property
    def predictions(self) -> Path:
        """Where the holdout predictions lie."""
        return self.directory / f"predictions-{self.fingerprint.value[:16]}.parquet"

    @property
    def files(self) -> dict[str, Path]:
        """The predictions' files by their path in the run: of the validation part only if a threshold is sought."""
        if self.definition.evaluation.threshold_from != "validation":
            return {PREDICTIONS: self.predictions}
        name = self.predictions.name.replace("predictions", "validation-predictions", 1)
        return {PREDICTIONS: self.predictions, VALIDATION: self.directory / name}
