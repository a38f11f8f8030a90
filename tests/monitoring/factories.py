"""Columns, and the verdict on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from include.monitoring.drift import DriftResult, judge_drift
from include.spec.definition import Drift, FeatureType
from include.training.column_profile import Document, count_like, profile_column

Numbers = npt.NDArray[np.float64]


def normal(mean: float, rows: int, seed: int = 0) -> Numbers:
    return np.random.default_rng(seed).normal(mean, 1, rows)


def judge(before: Any, now: Any, kind: FeatureType = "numeric", **limits: Any) -> DriftResult:
    """The verdict on one feature."""
    reference = profile_column(pd.Series(before), kind)
    return judge_columns({"f": reference}, {"f": count_like(reference, pd.Series(now))}, len(now), **limits)


def judge_columns(
    reference: dict[str, Document], current: dict[str, Document], rows: int, **limits: Any
) -> DriftResult:
    return judge_drift(reference, current, rows=rows, limits=Drift.model_validate(limits))
