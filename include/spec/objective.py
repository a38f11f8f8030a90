"""The business's own number: what a definition counts for each row that was predicted, as SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field

from include.spec.section import Section

if TYPE_CHECKING:
    from include.spec.definition import Definition

#: What an objective may read besides the source's columns; of a task without a decision, not the last.
OWN_NAMES: Final = ("prediction", "label", "decision")


class Objective(Section):
    """A KPI or a cost as an SQL expression over one row: makes the metric `objective`, the mean over the rows.

    It may read `prediction` (the probability, or the value), `label` (0 or 1, or the value), for a classification
    `decision` (whether the probability reaches `evaluation.threshold`), and every column of the source, also those
    that are known only later. A row for which it is null does not count.
    """

    expression: str = Field(description="SQL expression for one row: what it earns or costs.")
    per: str | None = Field(
        None,
        description="SQL expression for one row: the metric is then the sum of `expression` over the sum of this one, "
        "such as the loss for each kilometre. Left out: for each row.",
    )
    goal: Literal["smaller", "greater"] = Field(description="Whether a `smaller` or a `greater` number is better.")
    title: str = Field("Objective", min_length=1, max_length=60, description="How the pages call it, with its unit.")

    @property
    def expressions(self) -> dict[str, str]:
        """Its SQL by the name of the key."""
        return {"expression": self.expression} | ({"per": self.per} if self.per is not None else {})

    def columns(self) -> frozenset[str]:
        """The source's columns that it reads.

        :raises ExpressionError: if the SQL may not be used.
        """
        from include.spec.expressions import check_expression

        read = (check_expression(sql).columns for sql in self.expressions.values())
        return frozenset().union(*read) - set(OWN_NAMES)


def objective_columns(definition: Definition) -> frozenset[str]:
    """The source's columns that the definition's objective reads; none without one.

    :raises ExpressionError: if its SQL may not be used.
    """
    objective = definition.evaluation.objective
    return frozenset() if objective is None else objective.columns()
