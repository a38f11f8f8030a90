"""The steps by name: where each lives, what it says of itself. Imports nothing heavy, so that DAG files may read it."""

from __future__ import annotations

import importlib
from typing import Final, cast

from include.errors import Refused
from include.steps.protocol import Step

SUMMARIES: Final[dict[str, str]] = {
    "ingest": "Reads the partitions from the source, checks columns and types, stages them as raw rows.",
    "gate": "Runs a stage's Great Expectations suite on what is staged; a critical failure refuses a partition whole.",
    "publish": "Publishes what the gate accepted, in one atomic commit that replaces its own partitions.",
    "prepare": "Computes the features of published raw partitions and stages them.",
    "audit": "Ends a data run: red when a partition was refused or missing, with their names.",
    "assemble": "Builds the training set as of a date: only rows and labels that were known then, in one total order.",
    "train": "Trains reproducibly, logs to MLflow, stages the holdout predictions; a known fingerprint is reused.",
    "evaluate": "Measures challenger, champion and baselines on the same holdout rows, with intervals and slices.",
    "decide": "Applies the definition's gates and says which passed, and by how much.",
    "register": "Registers the version in MLflow with what it was made from and what was decided.",
    "deploy": "Switches the champion in one transaction of deployment state and ledger.",
    "verify": "Sends holdout rows through the live server; any difference from the batch answers rolls back.",
    "rollback": "Brings the previous champion back and bars the version that is rolled back.",
    "monitor": "Compares the newest published days with the training profile and decides on drift.",
    "retire": "Takes the model out of production; history stays.",
}


def load_step(name: str) -> Step:
    """Import the module ``include.steps.<name>`` and return its function ``run``.

    :raises Refused: if there is no such step.
    """
    if name not in SUMMARIES:
        raise Refused(f"There is no step named {name!r}. The steps are: {', '.join(SUMMARIES)}.")
    return cast(Step, importlib.import_module(f"include.steps.{name}").run)
