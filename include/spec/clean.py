"""What a definition says of its data's cleaning: columns row by row, and missing values and outliers of features."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from include.spec.section import Scalar, Section
from include.spec.units import Unit

_UNIT_FORM = "write {from: fahrenheit, to: celsius}"


class ColumnCleaning(Section):
    """One column as features and label see it; nothing is learned. ``temp: "sql"`` is short for an expression.

    In this order: `expression`, `null_if`, `type`, `unit`, `clip`. The raw table, its gate, requests and
    `serving.limits` keep what the source delivers.
    """

    expression: str | None = Field(
        None, description="SQL over the source's own columns, this one among them; left out: the column as it is."
    )
    null_if: str | None = Field(None, description="SQL condition over the source's own columns: null where it is true.")
    type: Literal["string", "integer", "number", "boolean", "timestamp"] | None = Field(
        None, description="Read as this type; what cannot be read becomes null."
    )
    unit: dict[Literal["from", "to"], Unit] | None = Field(
        None, description="`{from: fahrenheit, to: celsius}`: numbers in another unit of the same quantity."
    )
    clip: list[float | None] | None = Field(
        None,
        description="Smallest and largest value, in the new unit; what is beyond becomes the end. `null`: an open end.",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_shorthand(cls, value: Any) -> Any:
        return {"expression": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if all(getattr(self, name) is None for name in type(self).model_fields):
            raise ValueError("nothing is cleaned here; add expression, null_if, type, unit or clip, or remove it")
        if self.unit is not None and self.unit.keys() != {"from", "to"}:
            raise ValueError(f"unit needs from and to; {_UNIT_FORM}")
        if self.clip is not None:
            check_ends(self.clip)
        return self


def check_ends(ends: list[float | None]) -> None:
    """Refuse what is no pair of bounds.

    :raises ValueError: in the words that a person reads.
    """
    given = [end for end in ends if end is not None]
    if len(ends) != 2 or not given or (len(given) == 2 and given[0] >= given[1]):
        raise ValueError("clip needs a low and a high end; write [0, 100], [0, null] or [null, 100]")


class Missing(Section):
    """What stands for a missing value. ``missing: median`` is short for ``missing: {how: median}``."""

    how: Literal["keep", "median", "mean", "most_frequent", "drop"] | None = Field(
        None,
        description="`median`, `mean`, `most_frequent`: that of the training part (a median is a value that was seen; "
        "of equally frequent values the smallest). `drop`: rows without it are left out of training and validation, "
        "and only there: in the holdout and in a request the value stays missing. `keep`: missing, as it is.",
    )
    value: Scalar | None = Field(None, description="This value, in place of `how`.")

    @model_validator(mode="before")
    @classmethod
    def _from_shorthand(cls, value: Any) -> Any:
        return {"how": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.how is None) == (self.value is None):
            raise ValueError("exactly one of how and value is needed; write `median`, or {value: 0}")
        return self


class Outliers(Section):
    """Which numbers count as outliers, and whether the nearest bound takes their place."""

    clip: list[float | None] | None = Field(
        None, description="Smallest and largest value that is none; `null` for an open end, such as `[0, null]`."
    )
    winsorize: list[float] | None = Field(
        None,
        description="The same by quantiles of the training part, such as `[0.01, 0.99]`; each is a value that it has.",
    )
    keep: bool = Field(False, description="They stay as they are: for use with `flag`.")

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.clip is None) == (self.winsorize is None):
            raise ValueError("exactly one of clip and winsorize is needed; write {clip: [0, 100]}")
        if self.clip is not None:
            check_ends(self.clip)
        elif self.winsorize is not None:
            low, high = self.winsorize if len(self.winsorize) == 2 else (1.0, 0.0)
            if not 0 <= low < high <= 1:
                raise ValueError("winsorize needs two shares of the rows; write them as [0.01, 0.99]")
        return self


class FeatureCleaning(Section):
    """How one feature's values are cleaned before the model sees them: outliers first, then missing values.

    What is learned is learned on the training part only, travels with the model and is the same in every request. A
    value is missing if it is null, NaN or, after the outliers, no finite number of 32 bits.
    """

    missing: Missing = Field(Missing(how="keep"), description="What stands for a missing value.")
    indicator: bool = Field(
        False, description="A further input `<feature>_missing` says whether the value was missing."
    )
    outliers: Outliers | None = Field(None, description="Which numbers are outliers; left out: none.")
    flag: bool = Field(False, description="A further input `<feature>_outlier` says whether the value was one.")


class Duplicates(Section):
    """Of rows of one partition with the same entity one stays, when they are ingested; the others are counted.

    A row with a null in its entity is nobody's duplicate. Rows that are equal in `order_by` go by all their columns.
    """

    keep: Literal["first", "last"] = Field(description="Which of them stays.")
    order_by: str | None = Field(
        None,
        description="Source column that orders them, such as `updated_at`; left out: the event time. A null is never "
        "the one that stays if another is there.",
    )


class Clean(Section):
    """How the data is cleaned."""

    duplicates: Duplicates | None = Field(
        None, description="What happens to duplicates at ingest; left out: all rows stay, for the raw gate to judge."
    )
    columns: dict[str, ColumnCleaning] = Field(
        default_factory=dict, description="What features and label read in place of a source column."
    )
    features: dict[str, FeatureCleaning] = Field(
        default_factory=dict, description="Cleaning of features by name, with values learned on the training part."
    )
