"""The steps of a training as a ZenML pipeline on its default stack: local orchestrator, local artifacts."""

from __future__ import annotations

from typing import Any

from zenml import pipeline, step

from tests.bench.line.chain import INPUTS, call


@step
def one(task: str, outputs: dict[str, Any]) -> dict[str, Any]:
    return {**outputs, task: call(task, outputs)}


@pipeline(enable_cache=False)
def train() -> None:
    outputs: Any = {}
    for task in INPUTS:
        outputs = one(task, outputs, id=task)


if __name__ == "__main__":
    train()
