"""Who trains a model, what each trainer takes, and several candidates within one training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, Self

from pydantic import Field, model_validator

from include.spec.parameters import XGBOOST, Parameters
from include.spec.search import Search
from include.spec.section import Scalar, Section

if TYPE_CHECKING:
    from include.spec.definition import Task

TrainerName = Literal["xgboost", "linear"]
Kind = Literal["xgboost", "linear", "module"]


class Trainer(Section):
    """Who trains: ``trainer: linear`` is short for ``trainer: {name: linear}``; ``{module: …}`` is one of your own.

    ``xgboost`` are boosted trees; ``linear`` is scikit-learn's logistic regression (a classification) or ridge
    regression, with standardized numbers and a column for each category.
    """

    name: TrainerName | None = Field(None, description="A trainer that ships.")
    module: str | None = Field(
        None, description="Python file beside the definition with the functions `train`, `save` and `load`."
    )

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.name is None) == (self.module is None):
            raise ValueError("a trainer is one that ships or a module; write `trainer: linear` or {module: mine.py}")
        return self

    @property
    def kind(self) -> Kind:
        """Which of the trainers it is."""
        return self.name or "module"


class Candidate(Section):
    """One of several trainings that are compared; what is left out is as in ``training``.

    ``training.params`` and ``training.search`` are for candidates with the trainer that ``training.trainer`` names.
    """

    trainer: Trainer | None = Field(None, description="Who trains; left out: `training.trainer`.")
    params: dict[str, Scalar] | None = Field(None, description="The trainer's parameters.")
    search: Search | None = Field(None, description="A search for XGBoost's parameters.")
    rounds: int | None = Field(None, ge=1, description="Most boosting rounds.")
    early_stopping_rounds: int | None = Field(None, ge=1, description="Rounds without gain before stopping.")


_NO_ROUNDS: Final = "it is fitted at once"
_OWN: Final = "its `train` decides on that"
#: For each trainer the keys of ``training`` that it cannot follow: why, and what to do instead.
UNFIT: Final[dict[Kind, dict[str, tuple[str, str]]]] = {
    "xgboost": {},
    "linear": {
        "rounds": (_NO_ROUNDS, "Remove it."),
        "early_stopping_rounds": (_NO_ROUNDS, "Remove it."),
        "search": ("a search is for XGBoost's parameters", "Remove it; compare some values as training.candidates."),
        "monotone": ("its coefficients follow the data alone", "Remove it, or use the trainer xgboost."),
    },
    "module": {
        "rounds": (_OWN, "Remove it, and give the number in training.params."),
        "early_stopping_rounds": (_OWN, "Remove it, and give the number in training.params."),
        "search": (_OWN, "Remove it, and search within `train`."),
        "monotone": (_OWN, "Remove it, and see to it within `train`."),
        "class_weight": (_OWN, "Remove it, and weigh the classes within `train`."),
        "calibration": (_OWN, "Remove it, and calibrate within `train`."),
        "refit": (_OWN, "Remove it, and train on both parts within `train`."),
    },
}

_LINEAR_OWN: Final[dict[str, str]] = {
    "penalty": "Remove it; the penalty is always the square (l2).",
    "l1_ratio": "Remove it; the penalty is always the square (l2).",
    "solver": "Remove it; the solver is fixed, so that it gives the same model everywhere.",
    "tol": "Remove it; use `max_iter` to end earlier.",
    "fit_intercept": "Remove it; there always is one.",
    "class_weight": "Use `training.class_weight`.",
    "random_state": "Remove it; nothing in it is random.",
    "n_jobs": "Use `training.resources.cpu`.",
}
_MAX_ITER: Final = {"max_iter": (1, 1e6)}


def linear_parameters(task: Task) -> Parameters:
    """What the trainer ``linear`` takes for a task."""
    return Parameters(
        title=f"The trainer linear (task {task})",
        own=_LINEAR_OWN,
        bounds={"alpha" if task == "regression" else "C": (1e-6, 1e9), **_MAX_ITER},
        whole=frozenset(_MAX_ITER),
    )


def parameters_of(kind: Kind, task: Task) -> Parameters | None:
    """What a trainer takes; None if anything may be written (a module reads its own)."""
    if kind == "linear":
        return linear_parameters(task)
    return XGBOOST if kind == "xgboost" else None
