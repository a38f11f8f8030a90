"""The steps of a training as a Prefect flow, against a temporary server on loopback that Prefect starts for it."""

from __future__ import annotations

from typing import Any

from prefect import flow, task

from tests.bench.line.chain import INPUTS, call


@task
def step(name: str, outputs: dict[str, Any]) -> dict[str, Any]:
    return call(name, outputs)


@flow
def train() -> None:
    outputs: dict[str, Any] = {}
    for name in INPUTS:
        outputs[name] = step.with_options(name=name)(name, outputs)


if __name__ == "__main__":
    train()
