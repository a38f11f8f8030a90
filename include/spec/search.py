"""What a definition says of a search for parameters."""

from __future__ import annotations

from typing import Any, Final, Self

from pydantic import Field, model_validator

from include.spec.section import Duration, Scalar, Section

_FORMS: Final = "write {low: 3, high: 10}, {low: 0.01, high: 0.3, log: true} or a list such as [depthwise, lossguide]"


class SearchedParameter(Section):
    """The values of one parameter: ``{low: 3, high: 10}``, or a list such as ``[depthwise, lossguide]``."""

    low: int | float | None = Field(None, description="Smallest value.")
    high: int | float | None = Field(None, description="Largest value.")
    log: bool = Field(False, description="Search evenly over orders of magnitude: for rates and penalties.")
    values: list[Scalar] | None = Field(None, min_length=2, description="All values; it is the key of the short form.")

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, value: Any) -> Any:
        return {"values": value} if isinstance(value, list) else value

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        ends = [end for end in (self.low, self.high) if end is not None]
        if self.values is not None:
            if ends or self.log:
                raise ValueError(f"a list of values has no low, high or log; {_FORMS}")
            if len({str(value) for value in self.values}) < len(self.values):
                raise ValueError("a value is listed twice; list it once")
        elif len(ends) < 2:
            raise ValueError(f"a range has a low and a high end; {_FORMS}")
        elif ends[0] >= ends[1]:
            raise ValueError("low must be less than high; swap them, or set the value in training.params")
        elif self.log and ends[0] <= 0:
            raise ValueError("orders of magnitude need a low end over 0; raise it, or remove log")
        return self

    @property
    def all_values(self) -> list[Scalar]:
        """The listed values, or both ends of the range."""
        if self.values is not None:
            return list(self.values)
        return [end for end in (self.low, self.high) if end is not None]

    def holds(self, value: Scalar) -> bool:
        """Whether a value is one of these."""
        if self.values is not None:
            return value in self.values
        low, high = self.low, self.high
        inside = isinstance(value, int | float) and low is not None and high is not None and low <= value <= high
        return bool(inside)


class Search(Section):
    """A search for parameters before the model is trained, by Optuna: seeded, so that it finds the same again.

    The first trial takes the values in ``training.params``, or else XGBoost's own, where the space holds them: on what
    it is judged on, a search never ends worse than no search.
    """

    space: dict[str, SearchedParameter] = Field(description="XGBoost parameters and their values.", min_length=1)
    trials: int = Field(30, ge=2, le=10_000, description="Most trials.")
    time: Duration | None = Field(
        None,
        description="Time after which no further trial counts. How far the search comes then depends on the machine: "
        "without it, the same data gives the same model everywhere.",
    )
    patience: int | None = Field(
        None, ge=1, description="Trials in a row without a better one after which the search ends as hopeless."
    )
    folds: int = Field(
        1,
        ge=1,
        le=20,
        description="On how many windows each trial is judged. 1: the validation part; each further one moves the "
        "origin back by `training.validation` and trains on what was before (rolling-origin cross-validation); without "
        "`event_time` it is judged on other rows of the training part and trains on the rest.",
    )
    prune: bool = Field(
        True, description="Break off a trial that is worse than half of the earlier ones were after as many rounds."
    )
