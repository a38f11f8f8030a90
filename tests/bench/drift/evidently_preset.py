"""Run in evidently's own environment: its default preset on parquet windows; prints which columns it calls drifted.

``python evidently_preset.py REFERENCE WINDOW…`` prints a line of JSON for each window: seconds and drifted columns.
"""

from __future__ import annotations

import json
import sys
import time

import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset


def main() -> None:
    """Judge each window."""
    reference = pd.read_parquet(sys.argv[1])
    kinds = pd.api.types
    names = [
        name for name, column in reference.items() if kinds.is_bool_dtype(column) or not kinds.is_numeric_dtype(column)
    ]
    definition = DataDefinition(
        numerical_columns=[name for name in reference if name not in names], categorical_columns=names
    )
    before = Dataset.from_pandas(reference, data_definition=definition)
    for path in sys.argv[2:]:
        window = pd.read_parquet(path)
        begin = time.perf_counter()
        run = Report([DataDriftPreset()]).run(Dataset.from_pandas(window, data_definition=definition), before)
        seconds = time.perf_counter() - begin
        print(json.dumps({"seconds": seconds, "drifted": _drifted(run.dict()["metrics"])}), flush=True)


def _drifted(metrics: list[dict]) -> list[str]:
    found = []
    for metric in metrics:
        config = metric["config"]
        if config["type"].endswith("ValueDrift"):
            small_is_drift = "p_value" in config["method"]
            if (metric["value"] < config["threshold"]) == small_is_drift:
                found.append(config["column"])
    return found


if __name__ == "__main__":
    main()
