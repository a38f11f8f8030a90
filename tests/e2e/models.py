"""Small models for end-to-end tests: the flagship's real data and suites, with short windows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.e2e.line import Document, Line

WINDOWS = {"window": "10d", "validation": "3d", "holdout": "6d", "rounds": 30, "early_stopping_rounds": 5}


def shorten(document: Document) -> None:
    """Windows of days instead of months, no pauses before retries; gates that a small model can pass."""
    document["training"] |= WINDOWS
    document["training"].pop("shortest_window")
    document["deployment"] = {"stages": ["champion"]}
    document["schedule"] = {"train": "30 2 * * *"}  # a backfill goes by it
    document["execution"] = {"retries": 3, "retry_delay": "1s"}
    document["evaluation"]["gates"] = [
        {"metric": "roc_auc", "at_least": 0.52},
        {"metric": "roc_auc", "against": "champion"},
    ]
    document["evaluation"]["bootstrap_rounds"] = 200


def make_live(document: Document) -> None:
    """A source that goes on: no end, files in a folder of its own."""
    shorten(document)
    document["monitoring"]["drift"]["window"] = "5d"
    document["source"].pop("ends")
    document["source"]["path"] = "{store}/landing/" + document["model"] + "/{partition}.parquet"


def relax_training_suite(expectations: Path, model: str) -> None:
    """The flagship's training suite counts rows for 90 days; a short window has fewer."""
    file = expectations / model / "training.json"
    suite: dict[str, Any] = json.loads(file.read_text())
    for expectation in suite["expectations"]:
        if expectation["type"] == "expect_table_row_count_to_be_between":
            expectation["kwargs"]["min_value"] = 1000
    file.write_text(json.dumps(suite))


def landing(line: Line, folder: str) -> Path:
    """A folder of source files."""
    path = line.settings.store / "landing" / folder
    path.mkdir(parents=True, exist_ok=True)
    return path
