"""The steps of the DAG ``train`` in their order, for whoever calls them: plain Python or another orchestrator.

``call`` runs one in the calling process and records when it was called, when the step began and when it was done.
Nothing of this project is imported before, so that an orchestrator's flow pays that where it calls its first step.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

Document = dict[str, Any]

MODEL: Final = "BENCH_MODEL"
AS_OF: Final = "BENCH_AS_OF"
RECORD: Final = "BENCH_RECORD"
"""Environment variables: the model, the instant, and the file to which each call adds a line."""

INPUTS: Final[Mapping[str, Mapping[str, str]]] = {
    "assemble": {},
    "gate_training": {"training_set": "assemble"},
    "train": {"training_set": "assemble"},
    "gate_predictions": {"training": "train"},
    "publish_predictions": {"gate": "gate_predictions"},
    "evaluate": {"training": "train"},
    "decide": {"training": "train", "evaluation": "evaluate"},
    "register": {"training": "train", "evaluation": "evaluate", "decision": "decide"},
}
"""Of each task its inputs, by name, and the tasks whose outputs they are."""
_STAGES: Final = {"gate_training": "training", "gate_predictions": "predictions"}
LIBRARIES: Final = (
    *("pandas", "duckdb", "pyarrow.parquet", "deltalake", "xgboost", "sklearn.linear_model", "mlflow.pyfunc"),
    *("great_expectations.validator.validator", "great_expectations.expectations.core"),
)
"""What the steps import when they run; a script has it at its top."""


def call(task: str, outputs: Mapping[str, Document]) -> Document:
    """Run one step here.

    :param task: a key of :data:`INPUTS`.
    :param outputs: of the tasks before it.
    :returns: what the step returns.
    """
    called = time.time()
    inputs: Document = {name: outputs[other] for name, other in INPUTS[task].items()}
    if stage := _STAGES.get(task):
        inputs["stage"] = stage
    import_libraries()
    from tests.bench.line.stepping import run_step

    began = time.time()
    output = run_step(task.split("_")[0], inputs, os.environ[MODEL], os.environ[AS_OF])
    done = time.time()
    with Path(os.environ[RECORD]).open("a") as record:
        record.write(json.dumps({"task": task, "called": called, "began": began, "done": done}) + "\n")
    return output


def import_libraries() -> None:
    """As the top of a script does; a second time it costs nothing."""
    import importlib

    for name in LIBRARIES:
        importlib.import_module(name)
