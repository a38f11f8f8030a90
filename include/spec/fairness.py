"""What a definition says of fairness: between which groups answers may differ by how much."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from include.spec.section import Section

FairnessMeasure = Literal[
    "demographic_parity_difference",
    "demographic_parity_ratio",
    "equalized_odds_difference",
    "equalized_odds_ratio",
    "equal_opportunity_difference",
    "accuracy_difference",
    "mae_difference",
]


class FairnessRule(Section):
    """One comparison between the groups of a sensitive column, as fairlearn defines it; with `limit` it is a gate."""

    column: str = Field(description="The sensitive column: one of the source's, whose values are the groups.")
    measure: FairnessMeasure = Field(
        description="binary_classification: `demographic_parity_difference` or `_ratio` (of the shares of yes), "
        "`equalized_odds_difference` or `_ratio` (the worse of true and false positive rate), "
        "`equal_opportunity_difference` (true positive rate). Classification: `accuracy_difference`. regression: "
        "`mae_difference`."
    )
    limit: float | None = Field(
        None,
        ge=0,
        description="A gate: the largest difference, or the smallest ratio, that a challenger may have. In production "
        "an alarm when labels show that it is surely passed. Left out: it is measured and shown only.",
    )
    fewest_rows: int = Field(100, ge=30, description="Smaller groups are shown, and not judged.")

    @property
    def is_ratio(self) -> bool:
        """Whether more is better: 1 is no difference."""
        return self.measure.endswith("_ratio")
