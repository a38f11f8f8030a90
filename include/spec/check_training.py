"""Checks of a definition's training parameters, metrics and gates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from include.spec.candidates import trainings
from include.spec.check_classes import class_findings
from include.spec.check_trainers import in_file, trainer_findings
from include.spec.columns import feature_types
from include.spec.definition import Definition, Gate, Task
from include.spec.problems import Finding, KeyPath, choose

METRICS: Final[dict[Task, tuple[str, ...]]] = {
    "binary_classification": ("accuracy", "precision", "recall", "f1", "roc_auc", "pr_auc", "log_loss", "brier"),
    "multiclass_classification": ("accuracy", "macro_f1", "roc_auc", "log_loss", "brier"),
    "regression": ("rmse", "mae", "mape", "r2"),
}


def training_findings(definition: Definition) -> Iterator[Finding]:
    """What is wrong with the parameters, metrics and gates of a definition."""
    yield from trainer_findings(definition)
    yield from _monotone(definition)
    yield from _for_classes(definition)
    yield from class_findings(definition)
    for name, one in trainings(definition).items():
        for finding in _weights(one):
            yield in_file(definition, name, finding)
    known = known_metrics(definition)
    for position, metric in enumerate(definition.evaluation.metrics):
        yield from metric_findings(("evaluation", "metrics", position), metric, definition)
    for position, gate in enumerate(definition.evaluation.gates):
        keys = ("evaluation", "gates", position)
        yield from metric_findings((*keys, "metric"), gate.metric, definition)
        yield from _gate(keys, gate)
    threshold = "threshold" in definition.evaluation.model_fields_set
    task = definition.task
    if threshold and task == "multiclass_classification":
        what = "a threshold is for two classes; the answer of a multiclass_classification is the likeliest class"
        yield Finding(("evaluation", "threshold"), what, "Remove it.")
    elif threshold and task == "regression":
        cure = f"Remove it; the metrics of a regression ({', '.join(known)}) need none."
        yield Finding(
            ("evaluation", "threshold"), "a threshold is for classification, but the task is regression", cure
        )
    if definition.evaluation.costs is not None and task == "multiclass_classification":
        what = "these costs are for two classes, and the task is multiclass_classification"
        yield Finding(("evaluation", "costs"), what, "Remove it, and judge by log_loss or macro_f1.")
    elif definition.evaluation.costs is not None and task == "regression":
        yield Finding(("evaluation", "costs"), "costs are for classification, but the task is regression", "Remove it.")


def known_metrics(definition: Definition) -> tuple[str, ...]:
    """The metrics that a definition may name: its task's, the cost and the objective if it says what they are."""
    has_cost = definition.evaluation.costs is not None and definition.task == "binary_classification"
    has_objective = definition.evaluation.objective is not None
    return METRICS[definition.task] + (("cost",) if has_cost else ()) + (("objective",) if has_objective else ())


def metric_findings(keys: KeyPath, metric: str, definition: Definition) -> Iterator[Finding]:
    """What is wrong with the name of a metric."""
    known = known_metrics(definition)
    if metric == "cost" and "cost" not in known and definition.task == "binary_classification":
        yield Finding(keys, "nothing says what an error costs", "Give evaluation.costs.")
    elif metric == "objective" and "objective" not in known:
        yield Finding(keys, "nothing says what the objective is", "Give evaluation.objective.")
    elif metric not in known:
        what = f"there is no metric {metric!r} for the task {definition.task}"
        yield Finding(keys, what, choose(metric, known, kind="metrics"))


def _gate(keys: KeyPath, gate: Gate) -> Iterator[Finding]:
    given = [name for name in ("at_least", "at_most", "against") if getattr(gate, name) is not None]
    if len(given) != 1:
        what = f"the gate has {' and '.join(given)}" if given else "the gate has no condition"
        yield Finding(keys, what, "Give exactly one of at_least, at_most and against.")
    elif "margin" in gate.model_fields_set and gate.against is None:
        yield Finding((*keys, "margin"), f"margin does nothing beside {given[0]}", "Use it with against, or remove it.")


def _monotone(definition: Definition) -> Iterator[Finding]:
    types = feature_types(definition)
    for name in definition.training.monotone:
        keys = ("training", "monotone", name)
        if name not in types:
            yield Finding(keys, f"there is no feature {name!r}", choose(name, types, kind="features"))
        elif types[name] == "category":
            yield Finding(keys, f"{name} is a category, and categories have no order", "Remove it.")


def _for_classes(definition: Definition) -> Iterator[Finding]:
    training, task = definition.training, definition.task
    for name in ("class_weight", "calibration"):
        if getattr(training, name) != "none" and task == "regression":
            yield Finding(("training", name), f"the task is {task}, which has no classes", "Remove it.")
    if training.calibration != "none" and task == "multiclass_classification":
        what = f"{training.calibration} calibrates the probability of one of two classes, and the task is {task}"
        yield Finding(("training", "calibration"), what, "Remove it; multi:softprob is trained for log loss as it is.")


def _weights(one: Definition) -> Iterator[Finding]:
    """Parameters for one score for each row, or for two classes, where they mean nothing or mean it twice."""
    training, task = one.training, one.task
    searched = training.search.space if training.search else {}
    for name in ("scale_pos_weight", "base_score"):
        for keys, given in ((("params",), training.params), (("search", "space"), searched)):
            if name in given and task == "multiclass_classification":
                what = f"{name} is for one score for each row, and the task is {task}"
                yield Finding(("training", *keys, name), what, "Remove it, or use class_weight: balanced.")
    if training.class_weight == "balanced" and "scale_pos_weight" in {*training.params, *searched}:
        keys = ("training", "class_weight")
        yield Finding(keys, "scale_pos_weight is given too, which is the same weight", "Keep one of the two.")
