"""What a definition says of inputs that are worse in production than they were in training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from include.spec.section import Section

DisturbanceKind = Literal["noise", "missing", "scale", "unseen"]


class Disturbance(Section):
    """Raw inputs of the holdout rows made worse on purpose, and how much worse the metric may become by it."""

    kind: DisturbanceKind = Field(
        description="`noise`: a normal error on each number. `missing`: values that do not come. `scale`: numbers in "
        "another unit. `unseen`: texts that training never saw."
    )
    amount: float = Field(
        gt=0,
        description="`noise`: the error's standard deviation, in standard deviations of the column. `missing`, "
        "`unseen`: share of the values, up to 1. `scale`: the factor.",
    )
    columns: list[str] | None = Field(
        None,
        min_length=1,
        description="Source columns. Left out: all inputs that it fits (numbers, texts; missing: all but times).",
    )
    metric: str | None = Field(None, description="Metric that is looked at; the first of `evaluation.metrics`.")
    tolerance: float | None = Field(
        None,
        ge=0,
        description="A gate: by how much the metric may surely not become worse (lower bound of the paired interval). "
        "Left out: it is measured and shown only.",
    )
