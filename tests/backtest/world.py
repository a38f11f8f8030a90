"""A model with four windows of history: a calm one, other seats, the hours turned, and the one after that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import numpy as np

from tests.training.factories import make_rows

WINDOW: Final = 14
FIRST: Final = "2013-01-15"
DAYS: Final = 14 + 4 * WINDOW
DEFINITION: Final = """
model: late
description: Late?
owner: team
task: binary_classification
source:
  type: files
  path: "{store}/landing/{partition}.parquet"
  partition: day
  time_zone: America/New_York
  starts: 2013-01-01
  ends: ENDS
  event_time: left_at
  entity: [left_at, number]
  columns: {left_at: timestamp, number: integer, carrier: string, seats: integer, delay: number}
label: {expression: delay > 15, known_after: 1d}
features:
  hour: hour(left_at)
  carrier: {expression: carrier, type: category}
  seats: seats
training:
  window: 6d
  validation: 3d
  holdout: 4d
  rounds: 30
  early_stopping_rounds: 5
  params: {max_depth: 3, learning_rate: 0.3}
evaluation:
  metrics: [roc_auc, log_loss]
  threshold: 0.3
  bootstrap_rounds: 200
  gates:
    - {metric: roc_auc, at_least: 0.5}
    - {metric: roc_auc, against: champion}
"""


def write_world(folder: Path) -> dict[str, str]:
    """Write landing files, definition and suites; returns the environment that leads to them."""
    _land(folder / "store" / "landing")
    (folder / "models").mkdir()
    ends = np.datetime64("2013-01-01") + np.timedelta64(DAYS - 1, "D")
    (folder / "models" / "late.yaml").write_text(DEFINITION.replace("ENDS", str(ends)))
    row = {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1}, "severity": "critical"}
    row["meta"] = {"notes": "A partition has rows."}
    suites = folder / "expectations" / "late"
    suites.mkdir(parents=True)
    for stage in ("raw", "features", "training", "predictions"):
        (suites / f"{stage}.json").write_text(json.dumps({"name": f"late.{stage}", "expectations": [row]}))
    return {
        "NORIA_HOME": str(folder / "home"),
        "NORIA_STORE": str(folder / "store"),
        "NORIA_MODELS": str(folder / "models"),
        "NORIA_EXPECTATIONS": str(folder / "expectations"),
    }


def _land(folder: Path) -> None:
    """In the second window seats are other than ever, which says nothing; from the third on late hours are early."""
    rows = make_rows(180 * DAYS, days=DAYS)
    window = (rows["left_at"].dt.floor("D") - np.datetime64(FIRST)).dt.days // WINDOW
    rows.loc[window == 1, "seats"] += 500
    turned = 46 - 2 * rows["left_at"].dt.hour
    rows.loc[window >= 2, "delay"] += turned - 2 * rows["left_at"].dt.hour
    folder.mkdir(parents=True)
    for day, part in rows.groupby(rows["left_at"].dt.strftime("%Y-%m-%d")):
        part[["left_at", "number", "carrier", "seats", "delay"]].to_parquet(folder / f"{day}.parquet", index=False)
