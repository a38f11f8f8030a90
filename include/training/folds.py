"""Rolling-origin folds: each moves the origin back by one validation length and trains on what was before.

After Tashman (2000), "Out-of-sample tests of forecasting accuracy: an analysis and review", International Journal of
Forecasting 16(4): the order of time is kept, so nothing of the future is trained on. Rows without time have no order:
there each fold holds out other places of the training part (cross-validation).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xgboost

from include.spec.candidates import fold_count
from include.spec.definition import Definition
from include.spec.lengths import Lengths, Places, Shares
from include.spec.partitions import PartitionCalendar
from include.spec.windows import earlier
from include.training.matrices import AnyEncoded

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Fold:
    """What a trial trains on, and what it is judged on."""

    train: AnyEncoded
    validation: AnyEncoded

    def dmatrices(
        self, features: Sequence[Mapping[str, Any]], max_bin: int = 256
    ) -> tuple[xgboost.DMatrix, xgboost.DMatrix]:
        """Both as XGBoost's own type."""
        train = self.train.dmatrix(features, max_bin=max_bin)
        return train, self.validation.dmatrix(features, bins_of=train, max_bin=max_bin)


Rows = npt.NDArray[np.bool_]
#: Makes the fold that trains on some rows of the training part and is judged on others.
Cut = Callable[[Rows, Rows], Fold]


def older_folds(
    definition: Definition,
    times: pd.Series[datetime],
    train: AnyEncoded,
    validation_starts: datetime,
    cut: Cut | None = None,
) -> list[Fold]:
    """The folds of the definition's search, or its candidates', before the newest; all are in the training part.

    Newest first.

    A fold with no rows on one side, or of one class only (a classification), judges nothing and is left out.

    :param times: local event times of the training part's rows, in their order.
    :param validation_starts: where the training part ends.
    :param cut: encodes a fold's rows itself; left out: they are rows of ``train``.
    """
    calendar, validation = PartitionCalendar.of(definition), Lengths.of(definition).validation
    folds, end = [], validation_starts
    for _ in range(fold_count(definition) - 1):
        start = earlier(calendar, end, validation)
        before = (times < calendar.local(start)).to_numpy()
        during = (times < calendar.local(end)).to_numpy() & ~before
        fold = cut(before, during) if cut else Fold(train=train.rows(before), validation=train.rows(during))
        if _judges(definition, fold):
            folds.append(fold)
        else:
            _log.warning("The fold that is judged on %s to %s has too few rows and is left out.", start, end)
        end = start
    return folds


def crossed_folds(
    definition: Definition, places: npt.NDArray[np.int64], train: AnyEncoded, cut: Cut | None = None
) -> list[Fold]:
    """The same for data without time: each fold is judged on as many places of the training part as the validation part
    has, and trains on the rest of it.

    :param places: of the training part's rows, in their order (:mod:`include.lake.places`).
    :param cut: as for :func:`older_folds`.
    """
    shares, folds = Shares.of(definition), []
    start, length = shares.train.start, shares.validation.end - shares.validation.start
    for number in range(fold_count(definition) - 1):
        held = Places(start + number * length, start + (number + 1) * length)
        during = (places >= held.start) & (places < held.end)
        fold = cut(~during, during) if cut else Fold(train=train.rows(~during), validation=train.rows(during))
        if _judges(definition, fold):
            folds.append(fold)
        else:
            _log.warning("The fold that is judged on %s has too few rows and is left out.", held)
    return folds


def _judges(definition: Definition, fold: Fold) -> bool:
    classes = 1 if definition.task == "regression" else 2
    return all(len(set(part.labels.tolist())) >= classes for part in (fold.train, fold.validation))
