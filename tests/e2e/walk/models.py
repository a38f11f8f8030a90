"""Three small models, whose versions were trained, judged and registered by the steps themselves."""

from __future__ import annotations

import csv
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import requests

from include.backtest.line import Judged
from include.backtest.line import Line as Steps
from include.datasets import land
from include.spec.definition import Definition
from include.spec.loader import find_definition
from tests.e2e.line import Document, Line

BASE = "tumor_malignant"
STAGED, NEW, ASKED = "walk_staged", "walk_new", "walk_asked"
"""With stages and a better second version; never in production; in production, and to be asked about."""


def in_stages(document: Document) -> None:
    """Fast to train; a person is asked after the shadow stage, and all stages want little."""
    document["training"] |= {"rounds": 20, "early_stopping_rounds": 5}
    document["evaluation"] |= {
        "bootstrap_rounds": 200,
        "gates": [{"metric": "roc_auc", "at_least": 0.8}, {"metric": "log_loss", "against": "champion"}],
    }
    document["deployment"] = {
        "stages": ["shadow", {"canary": 30}, "champion"],
        "approval": "required",
        "verify_rows": 50,
        "evidence": {"requests": 40, "timeout": "10m"},
        "rollback": {"prediction_shift": 5.0, "added_ms": 500, "metric": "roc_auc"},
    }
    document["schedule"] = {}


def directly(document: Document) -> None:
    """The same without stages: a person is asked at once."""
    in_stages(document)
    document["deployment"] = {"stages": ["champion"], "approval": "required", "verify_rows": 50}


def make_models(line: Line) -> None:
    """Define all, and register their versions by the steps in this process; two have a first version in production."""
    settings = line.settings
    land(settings, BASE)
    line.define(STAGED, BASE, in_stages)
    for name in (NEW, ASKED):
        line.define(name, BASE, directly)
    for name in (STAGED, NEW, ASKED):
        steps, as_of = Steps(settings, find_definition(settings, name)), datetime.now(UTC).replace(microsecond=0)
        steps.publish(None, None, as_of)
        first = _version(steps, as_of)
        if name != NEW:
            steps.crown(first)
            _version(Steps(settings, _trained_otherwise(steps.definition)), as_of)
    for name in (STAGED, NEW, ASKED):
        line.wait_for_dag(f"{name}.retire")


def _version(steps: Steps, as_of: datetime) -> Judged:
    return steps.judge(steps.train(as_of))


def _trained_otherwise(definition: Definition) -> Definition:
    training = definition.training.model_copy(update={"rounds": 40, "seed": 8})
    return definition.model_copy(update={"training": training})


@contextmanager
def requests_for(line: Line, model: str, rate: float = 20) -> Iterator[None]:
    """Requests for the model, as an application sends them, for as long as the block runs."""
    with (line.settings.store / "landing" / "tumors.csv").open() as file:
        rows = [
            {name: float(value) for name, value in row.items() if name != "diagnosis"} for row in csv.DictReader(file)
        ]
    over = threading.Event()
    address = f"{line.settings.server_url}/models/{model}/predict"

    def ask() -> None:
        with requests.Session() as session:
            number = 0
            while not over.wait(1 / rate):
                row = rows[number % len(rows)]
                number += 1
                session.post(address, json={"rows": [row | {"sample": int(row["sample"])}]}, timeout=10)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    try:
        yield
    finally:
        over.set()
        asking.join(15)
