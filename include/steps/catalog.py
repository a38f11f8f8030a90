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
    "deploy": "Makes a version the challenger: loaded by the server, answering nobody yet.",
    "verify": "Sends holdout rows through the live server; any difference from the batch answers takes it out.",
    "stage": "Puts the challenger into a stage that the definition names: shadow, canary or A/B.",
    "assess": "Judges the challenger by what the server has logged; takes it out when it hurts.",
    "ask": "Writes what a person needs to decide on the challenger, and holds it where it is.",
    "promote": "Makes the challenger the champion, in one transaction of deployment state and ledger.",
    "withdraw": "Ends a deployment that did not go well: takes the challenger out, and says why.",
    "replay": "Sends later real days as requests to the live server, and their labels as feedback.",
    "rollback": "Brings the previous champion back and bars the version that is rolled back.",
    "choose": "Settles which version a scoring uses: the one that is named, or the champion of this moment.",
    "score": "Scores partitions or files with a version, gated in and out, and publishes the scores in one commit.",
    "monitor": "Compares the newest published days with the training profile and decides on drift.",
    "drain": "Begins to retire the model: it answers on for a while, and nothing new comes in.",
    "retire": "Takes the model out of production; history stays.",
    "archive": "Puts what audits need of a retired model into one folder of the store, with a signed manifest.",
    "free": "Frees what a retired model can make anew bit for bit: features and training sets.",
    "restore": "Undoes a retirement: the model answers on, or is in production again as it was.",
}

LIGHT: Final = frozenset(
    {
        *("audit", "decide", "register", "choose"),
        *("deploy", "stage", "ask", "promote", "withdraw", "rollback"),
        *("drain", "retire", "archive", "free", "restore"),
    }
)
"""Steps that decide, change state or move files, and do not compute: not worth a pod of their own."""


READS_SOURCE: Final = frozenset({"ingest", "replay"})
"""Steps that read the model's source, and so need to reach its database if it has one."""


SIGNS: Final = frozenset({"register", "archive"})
"""Steps that are given the key that signs versions."""


def load_step(name: str) -> Step:
    """Import the module ``include.steps.<name>`` and return its function ``run``.

    :raises Refused: if there is no such step.
    """
    if name not in SUMMARIES:
        raise Refused(f"There is no step named {name!r}. The steps are: {', '.join(SUMMARIES)}.")
    return cast(Step, importlib.import_module(f"include.steps.{name}").run)
