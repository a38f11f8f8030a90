"""What a definition says of the past: counts, rates, sums and last values by key over a window before the row."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field, model_validator

from include.spec.section import Duration, Section

EVERY_ROW: Final = "*"
AGGREGATES: Final = ("count", "mean", "sum", "last", "min", "max")


class HistoryValue(Section):
    """One value of a key's past: exactly one of these. `count` alone counts the key's rows."""

    count: str | None = Field(None, description="Number of rows for which this SQL expression is true; `*`: all rows.")
    mean: str | None = Field(None, description="Mean of an expression; of a condition its rate, such as `delay > 15`.")
    sum: str | None = Field(None, description="Sum of an expression.")
    last: str | None = Field(None, description="The expression's value in the newest row where it is not null.")
    min: str | None = Field(None, description="Smallest value of an expression.")
    max: str | None = Field(None, description="Largest value of an expression.")

    @model_validator(mode="before")
    @classmethod
    def _from_shorthand(cls, value: Any) -> Any:
        return {"count": EVERY_ROW} if value == "count" else value

    @property
    def given(self) -> list[tuple[str, str]]:
        """The aggregates that are given, each with its expression: exactly one in a checked definition."""
        named = ((name, getattr(self, name)) for name in AGGREGATES)
        return [(name, expression) for name, expression in named if expression is not None]


class HistoryGroup(Section):
    """Values of one key over one window; a feature reads them as the columns `<group>_<value>`.

    A row gets them as they were known when its partition began, whether offline or in a request.
    """

    model: str | None = Field(
        None, description="The model that declares this group; it is then used here as it is there. Left out: this one."
    )
    by: list[str] | None = Field(
        None,
        description="Columns whose values together are the key; `[]`: one key for all rows. With `model`: this model's "
        "columns for that key, if they have other names.",
    )
    over: Duration | None = Field(
        None, description="Length of the window: the whole partitions within it that were known."
    )
    known_after: Duration | None = Field(
        None,
        description="How long after its end a partition's rows are known. Left out: the label's `known_after`.",
    )
    values: dict[str, HistoryValue] = Field(default_factory=dict, description="The values, by name.")
