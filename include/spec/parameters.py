"""A trainer's parameters: which ones a definition may give or search, and within what bounds; XGBoost's are here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from include.spec.problems import Finding, KeyPath, choose
from include.spec.section import Scalar

#: XGBoost parameters that Noria sets itself, and the key (or reason) to give instead.
OWN_PARAMS: Final[dict[str, str]] = {
    "objective": "It follows from `task`.",
    "eval_metric": "It follows from `task`; early stopping watches its loss.",
    "num_class": "It follows from `task`.",
    "seed": "Use `training.seed`.",
    "random_state": "Use `training.seed`.",
    "seed_per_iteration": "Use `training.seed`.",
    "nthread": "Use `training.resources.cpu`.",
    "n_jobs": "Use `training.resources.cpu`.",
    "n_estimators": "Use `training.rounds`.",
    "num_boost_round": "Use `training.rounds`.",
    "early_stopping_rounds": "Use `training.early_stopping_rounds`.",
    "booster": "Remove it; trees (gbtree) are always used.",
    "tree_method": "Remove it; hist is always used, because it gives the same model on any number of threads.",
    "device": "Remove it; training runs on the CPU, so that it gives the same model everywhere.",
    "enable_categorical": "Remove it; give the feature `type: category`.",
    "feature_types": "Remove it; give each feature its `type`.",
    "missing": "Remove it; a null is missing.",
    "monotone_constraints": "Use `training.monotone`, by the features' names.",
    "verbosity": "Remove it.",
    "validate_parameters": "Remove it.",
}

#: XGBoost parameters that a definition may set, with the smallest and the largest number allowed.
PARAMS: Final[dict[str, tuple[float, float] | None]] = {
    "learning_rate": (1e-6, 1.0),
    "eta": (1e-6, 1.0),
    "max_depth": (0, 64),
    "max_leaves": (0, 1 << 20),
    "max_bin": (2, 1 << 16),
    "grow_policy": None,
    "min_child_weight": (0, float("inf")),
    "gamma": (0, float("inf")),
    "min_split_loss": (0, float("inf")),
    "max_delta_step": (0, float("inf")),
    "subsample": (1e-6, 1.0),
    "colsample_bytree": (1e-6, 1.0),
    "colsample_bylevel": (1e-6, 1.0),
    "colsample_bynode": (1e-6, 1.0),
    "lambda": (0, float("inf")),
    "reg_lambda": (0, float("inf")),
    "alpha": (0, float("inf")),
    "reg_alpha": (0, float("inf")),
    "scale_pos_weight": (0, float("inf")),
    "base_score": (float("-inf"), float("inf")),
    "num_parallel_tree": (1, 1000),
    "max_cat_to_onehot": (1, 1 << 16),
    "max_cat_threshold": (1, 1 << 16),
    "interaction_constraints": None,
}
#: What XGBoost takes where nothing is given, of those that people search.
DEFAULTS: Final[dict[str, Scalar]] = {
    "learning_rate": 0.3,
    "eta": 0.3,
    "max_depth": 6,
    "max_leaves": 0,
    "max_bin": 256,
    "grow_policy": "depthwise",
    "min_child_weight": 1,
    "gamma": 0,
    "min_split_loss": 0,
    "max_delta_step": 0,
    "subsample": 1,
    "colsample_bytree": 1,
    "colsample_bylevel": 1,
    "colsample_bynode": 1,
    "lambda": 1,
    "reg_lambda": 1,
    "alpha": 0,
    "reg_alpha": 0,
    "scale_pos_weight": 1,
}
#: Those that are whole numbers.
WHOLE: Final = frozenset(
    {"max_depth", "max_leaves", "max_bin", "num_parallel_tree", "max_cat_to_onehot", "max_cat_threshold"}
)
#: Two names of one parameter.
SAME: Final = (
    ("learning_rate", "eta"),
    ("gamma", "min_split_loss"),
    ("lambda", "reg_lambda"),
    ("alpha", "reg_alpha"),
)


@dataclass(frozen=True)
class Parameters:
    """What a trainer takes.

    :param title: the trainer, as a sentence begins with it.
    :param own: parameters that Noria sets itself, and what to do instead.
    :param bounds: parameters that a definition may set, with the smallest and the largest number; None: text.
    :param whole: those that are whole numbers.
    """

    title: str
    own: Mapping[str, str]
    bounds: Mapping[str, tuple[float, float] | None]
    whole: frozenset[str]


XGBOOST: Final = Parameters("XGBoost", OWN_PARAMS, PARAMS, WHOLE)


def param_findings(
    keys: KeyPath, name: str, values: Iterable[Scalar], taken: Parameters = XGBOOST
) -> Iterator[Finding]:
    """What is wrong with values of a trainer's parameter that a definition gives or searches."""
    if name in taken.own:
        yield Finding(keys, "Noria sets this parameter itself", taken.own[name])
    elif name not in taken.bounds:
        yield Finding(keys, f"{taken.title} has no parameter {name!r}", choose(name, taken.bounds, kind="parameters"))
    else:
        for value in values:
            yield from _param_value(keys, name, value, taken)


def _param_value(keys: KeyPath, name: str, value: Scalar, taken: Parameters) -> Iterator[Finding]:
    bounds = taken.bounds[name]
    if bounds is None:
        if not isinstance(value, str):
            yield Finding(keys, f"{value!r} is not text", "Write it as XGBoost's documentation shows it, in quotes.")
        return
    kind = "a whole number" if name in taken.whole else "a number"
    if isinstance(value, bool) or not isinstance(value, int | float) or (name in taken.whole and value != int(value)):
        yield Finding(keys, f"{value!r} is not {kind}", f"Write {kind}.")
    elif not bounds[0] <= value <= bounds[1]:
        low = "more than 0" if bounds[0] == 1e-6 else f"at least {bounds[0]:g}"
        high = f" and at most {bounds[1]:g}" if bounds[1] != float("inf") else ""
        yield Finding(keys, f"{value!r} is out of range", f"It must be {low}{high}.")
