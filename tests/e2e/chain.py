"""Runs data and training steps one after another in this process; started as a program in a copy of the project.

``python -m tests.e2e.chain <model> <as_of> <cpu> forwards|backwards`` prints the training set's and the model's digest.
"""

from __future__ import annotations

import json
import sys
import uuid
from datetime import datetime

from include.registry.database import ensure_schema
from include.settings import Settings
from include.spec.definition import Definition
from include.spec.loader import find_definition
from include.spec.windows import needed_partitions
from include.steps.catalog import load_step
from include.steps.protocol import Document, StepCall


def run(settings: Settings, definition: Definition, as_of: datetime, step: str, inputs: Document) -> Document:
    """One step."""
    attempt = uuid.uuid4().hex[:12]
    call = StepCall(settings=settings, definition=definition, as_of=as_of, attempt=attempt, inputs=inputs)
    return load_step(step)(call)


def ingest(settings: Settings, definition: Definition, as_of: datetime, first: str, last: str) -> None:
    """The data DAG's steps for a range of partitions."""

    def go(step: str, **inputs: object) -> Document:
        return run(settings, definition, as_of, step, inputs)

    raw = go("gate", stage="raw", staged=go("ingest", first=first, last=last, force=False))
    published = go("publish", gate=raw)
    features = go("gate", stage="features", staged=go("prepare", published=published, force=False))
    go("publish", gate=features)


def main(model: str, as_of_text: str, cpu: str, order: str) -> None:
    """All days together, or each alone from the last to the first; then the training set and the model."""
    settings, as_of = Settings.from_environment(), datetime.fromisoformat(as_of_text)
    definition = find_definition(settings, model)
    resources = definition.training.resources.model_copy(update={"cpu": int(cpu)})
    training = definition.training.model_copy(update={"resources": resources})
    definition = definition.model_copy(update={"training": training})
    ensure_schema(settings.database_url)
    keys = [partition.key for partition in needed_partitions(definition, as_of)]
    if order == "forwards":
        ingest(settings, definition, as_of, keys[0], keys[-1])
    else:
        for key in reversed(keys):
            ingest(settings, definition, as_of, key, key)
    training_set = run(settings, definition, as_of, "assemble", {})
    gated = run(settings, definition, as_of, "gate", {"stage": "training", "training_set": training_set})
    trained = run(settings, definition, as_of, "train", {"training_set": training_set, "gate": gated})
    digests = {name: trained[name] for name in ("artifact_digest", "fingerprint")}
    print(json.dumps({"training_set": training_set["digest"], **digests}))


if __name__ == "__main__":
    main(*sys.argv[1:])
