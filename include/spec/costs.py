"""What a definition says of what right and wrong answers cost."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from include.spec.section import Section


class Costs(Section):
    """What each outcome costs at `evaluation.threshold`, in the business's own unit; less than 0 earns.

    Makes the metric `cost`: the mean for each row. It can be shown, gated on and judged by like any other.
    """

    false_positive: float = Field(description="The answer is yes, the truth is no.")
    false_negative: float = Field(description="The answer is no, the truth is yes.")
    true_positive: float = Field(0.0, description="The answer is yes, rightly.")
    true_negative: float = Field(0.0, description="The answer is no, rightly.")

    @model_validator(mode="after")
    def _errors_cost(self) -> Self:
        if self.false_positive <= self.true_negative or self.false_negative <= self.true_positive:
            raise ValueError(
                "a wrong answer costs no more than the right one; write what it costs beside the right answer's cost"
            )
        return self

    @property
    def best_threshold(self) -> float:
        """The probability from which yes is the cheaper answer, if the probabilities are right (Elkan 2001)."""
        yes, no = self.false_positive - self.true_negative, self.false_negative - self.true_positive
        return yes / (yes + no)
