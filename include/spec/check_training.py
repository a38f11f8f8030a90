"""Checks of a definition's training parameters, metrics and gates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from include.spec.definition import Definition, Gate, Task
from include.spec.problems import Finding, KeyPath, choose
from include.spec.section import Scalar

METRICS: Final[dict[Task, tuple[str, ...]]] = {
    "binary_classification": ("accuracy", "precision", "recall", "f1", "roc_auc", "pr_auc", "log_loss", "brier"),
    "regression": ("rmse", "mae", "mape", "r2"),
}

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
    "monotone_constraints": None,
    "interaction_constraints": None,
}
_WHOLE: Final = frozenset(
    {"max_depth", "max_leaves", "max_bin", "num_parallel_tree", "max_cat_to_onehot", "max_cat_threshold"}
)
_SAME: Final = (
    ("learning_rate", "eta"),
    ("gamma", "min_split_loss"),
    ("lambda", "reg_lambda"),
    ("alpha", "reg_alpha"),
)


def training_findings(definition: Definition) -> Iterator[Finding]:
    """What is wrong with the parameters, metrics and gates of a definition."""
    yield from _params(definition)
    known = METRICS[definition.task]
    for position, metric in enumerate(definition.evaluation.metrics):
        yield from _metric(("evaluation", "metrics", position), metric, definition)
    for position, gate in enumerate(definition.evaluation.gates):
        keys = ("evaluation", "gates", position)
        yield from _metric((*keys, "metric"), gate.metric, definition)
        yield from _gate(keys, gate)
    threshold = "threshold" in definition.evaluation.model_fields_set
    if threshold and definition.task == "regression":
        cure = f"Remove it; the metrics of a regression ({', '.join(known)}) need none."
        yield Finding(
            ("evaluation", "threshold"), "a threshold is for classification, but the task is regression", cure
        )


def _metric(keys: KeyPath, metric: str, definition: Definition) -> Iterator[Finding]:
    known = METRICS[definition.task]
    if metric not in known:
        what = f"there is no metric {metric!r} for the task {definition.task}"
        yield Finding(keys, what, choose(metric, known, kind="metrics"))


def _gate(keys: KeyPath, gate: Gate) -> Iterator[Finding]:
    given = [name for name in ("at_least", "at_most", "against") if getattr(gate, name) is not None]
    if len(given) != 1:
        what = f"the gate has {' and '.join(given)}" if given else "the gate has no condition"
        yield Finding(keys, what, "Give exactly one of at_least, at_most and against.")
    elif "margin" in gate.model_fields_set and gate.against is None:
        yield Finding((*keys, "margin"), f"margin does nothing beside {given[0]}", "Use it with against, or remove it.")


def _params(definition: Definition) -> Iterator[Finding]:
    params = definition.training.params
    for name, value in params.items():
        keys = ("training", "params", name)
        if name in OWN_PARAMS:
            yield Finding(keys, "Noria sets this parameter itself", OWN_PARAMS[name])
        elif name not in PARAMS:
            yield Finding(keys, f"XGBoost has no parameter {name!r}", choose(name, PARAMS, kind="parameters"))
        else:
            yield from _param_value(keys, name, value)
    for name, alias in _SAME:
        if name in params and alias in params:
            what = f"{alias} and {name} are two names of one parameter"
            yield Finding(("training", "params", alias), what, "Keep one of the two.")


def _param_value(keys: KeyPath, name: str, value: Scalar) -> Iterator[Finding]:
    bounds = PARAMS[name]
    if bounds is None:
        if not isinstance(value, str):
            yield Finding(keys, f"{value!r} is not text", "Write it as XGBoost's documentation shows it, in quotes.")
        return
    kind = "a whole number" if name in _WHOLE else "a number"
    if isinstance(value, bool) or not isinstance(value, int | float) or (name in _WHOLE and value != int(value)):
        yield Finding(keys, f"{value!r} is not {kind}", f"Write {kind}.")
    elif not bounds[0] <= value <= bounds[1]:
        low = "more than 0" if bounds[0] == 1e-6 else f"at least {bounds[0]:g}"
        high = f" and at most {bounds[1]:g}" if bounds[1] != float("inf") else ""
        yield Finding(keys, f"{value!r} is out of range", f"It must be {low}{high}.")
