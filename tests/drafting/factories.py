"""Samples to draft from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from include.settings import Settings


def empty_project(settings: Settings, folder: Path) -> Settings:
    """Settings whose definitions and suites are empty folders."""
    found = replace(settings, models=folder / "models", expectations=folder / "expectations")
    found.models.mkdir(parents=True)
    found.expectations.mkdir()
    return found


def parcels(rows: int = 4000, days: int = 40, **columns: Any) -> pd.DataFrame:
    """Parcels with what a shop would know of them, and some of what it would not; ``columns`` are added."""
    random = np.random.default_rng(3)
    minutes = np.sort(random.integers(0, days * 24 * 60, rows))
    sent = np.datetime64("2025-03-01", "s") + minutes.astype("timedelta64[m]")
    weight = random.gamma(2, 2, rows).round(2)
    late = random.random(rows) < 0.1 + 0.03 * weight
    frame = pd.DataFrame(
        {
            "parcel": np.arange(1, rows + 1),
            "sent_at": sent,
            "service": random.choice(["express", "normal", "slow"], rows),
            "weight": np.where(random.random(rows) < 0.05, np.nan, weight),
            "insured": random.random(rows) < 0.2,
            "country": "DE",
            "note": [f"note {number}" for number in range(rows)],
            "arrived_at": sent + random.integers(5, 90, rows).astype("timedelta64[h]"),
            "refund": np.where(late, 5.0, 0.0) + random.random(rows) * 0.01,
            "complaint": np.where(late, "yes", None),
            "late": late,
        }
    )
    return frame.assign(**columns)


def write(frame: pd.DataFrame, path: Path) -> Path:
    """As CSV or Parquet, by the path's ending."""
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False)
    return path
