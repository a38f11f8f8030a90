"""The steps of a training as a Dagster job; ``BENCH_EXECUTOR`` says whether they are in one process or each has one."""

from __future__ import annotations

import os
from typing import Any

from dagster import OpDefinition, in_process_executor, job, multiprocess_executor, op

from tests.bench.line.chain import INPUTS, call

EXECUTORS = {"one process": in_process_executor, "a process each": multiprocess_executor}


def _op(task: str) -> OpDefinition:
    @op(name=task)
    def step(outputs: dict[str, Any]) -> dict[str, Any]:
        return {**outputs, task: call(task, outputs)}

    return step


@op
def begin() -> dict[str, Any]:
    return {}


STEPS = {task: _op(task) for task in INPUTS}


@job(executor_def=EXECUTORS[os.environ["BENCH_EXECUTOR"]])
def train() -> None:
    outputs = begin()
    for step in STEPS.values():
        outputs = step(outputs)
