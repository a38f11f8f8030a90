"""What computes a model's features, training sets and models: one machine, or Apache Spark."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from include.spec.section import Section

EngineName = Literal["local", "spark"]


class Engine(Section):
    """Where features, training sets and models are computed. ``engine: spark`` is short for ``{name: spark}``."""

    name: EngineName = Field(
        "local",
        description="`local`: the step's own machine or pod. `spark`: the steps prepare, assemble and train spread "
        "their work over [executors of Apache Spark](../../README.md#more-than-one-machine).",
    )
    executors: int = Field(
        2, ge=1, le=1000, description="spark: its executors; in the step's own process, where there is no cluster."
    )
    cpu: int = Field(1, ge=1, le=256, description="spark: CPUs of an executor.")
    memory: str = Field(
        "2Gi", pattern=r"^[1-9][0-9]*(Mi|Gi)$", description="spark: memory of an executor, such as `2Gi`."
    )

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value
