"""Checks of a definition's engine: what it cannot do is said, and nothing is silently computed elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from include.spec.definition import Definition
from include.spec.memory import bytes_of
from include.spec.problems import Finding

_LEAST_MEMORY: Final = 1 << 30
_ONE_MACHINE: Final = "Remove it, or leave out engine: trainings by Spark are for what one machine cannot hold."


def engine_findings(definition: Definition) -> Iterator[Finding]:
    """What is wrong with the engine of a definition."""
    engine, training = definition.engine, definition.training
    if engine.name == "local":
        for key in sorted(engine.model_fields_set - {"name"}):
            yield Finding(("engine", key), f"only Spark has {key}", "Write name: spark, or remove it.")
        return
    if bytes_of(engine.memory) < _LEAST_MEMORY:
        what = f"an executor of Spark cannot live on {engine.memory}: half a GiB is for Java"
        yield Finding(("engine", "memory"), what, "Give it 1Gi or more.")
    if training.trainer.kind != "xgboost":
        what = "the engine spark trains with xgboost only"
        yield Finding(("training", "trainer"), what, "Use the trainer xgboost, or leave out engine.")
    for key in ("search", "candidates"):
        if getattr(training, key):
            yield Finding(("training", key), f"the engine spark makes one training and no {key}", _ONE_MACHINE)
