"""The metrics by name: for which task, in which direction, how a person calls them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from include.errors import Refused
from include.spec.definition import Task
from include.spec.objective import Objective


@dataclass(frozen=True)
class Metric:
    """What is known about a metric.

    :param name: key in documents and definitions.
    :param title: what a person reads.
    :param task: the task that it belongs to; None: any.
    :param higher_is_better: its direction; an improvement is always positive when better.
    """

    name: str
    title: str
    task: Task | None
    higher_is_better: bool

    def improvement(self, challenger: float, reference: float) -> float:
        """How much better the challenger is: positive when better, whatever the metric's direction."""
        return challenger - reference if self.higher_is_better else reference - challenger


#: The metric that only definitions with costs have.
COST: Final = "cost"
#: The metric that only definitions with an objective have; its direction is the objective's.
OBJECTIVE: Final = "objective"

_ALL: Final = (
    Metric("accuracy", "Accuracy", "binary_classification", True),
    Metric("precision", "Precision", "binary_classification", True),
    Metric("recall", "Recall", "binary_classification", True),
    Metric("f1", "F1", "binary_classification", True),
    Metric("roc_auc", "ROC AUC", "binary_classification", True),
    Metric("pr_auc", "PR AUC", "binary_classification", True),
    Metric("log_loss", "Log loss", "binary_classification", False),
    Metric("brier", "Brier score", "binary_classification", False),
    Metric(COST, "Cost", "binary_classification", False),
    Metric("accuracy", "Accuracy", "multiclass_classification", True),
    Metric("macro_f1", "Macro F1", "multiclass_classification", True),
    Metric("roc_auc", "ROC AUC", "multiclass_classification", True),
    Metric("log_loss", "Log loss", "multiclass_classification", False),
    Metric("brier", "Brier score", "multiclass_classification", False),
    Metric("rmse", "RMSE", "regression", False),
    Metric("mae", "MAE", "regression", False),
    Metric("mape", "MAPE", "regression", False),
    Metric("r2", "R²", "regression", True),
    Metric(OBJECTIVE, "Objective", None, True),
)

#: By name; title and direction of a name are the same for all tasks that have it.
METRICS: Final[dict[str, Metric]] = {metric.name: metric for metric in reversed(_ALL)}
_BY_TASK: Final[dict[tuple[str, Task | None], Metric]] = {(metric.name, metric.task): metric for metric in _ALL}


class UnknownMetric(Refused):
    """A definition names a metric that its task does not have."""

    def __init__(self, name: str, task: Task) -> None:
        self.name = name
        self.task = task
        known = ", ".join(metric.name for metric in _ALL if metric.task in (task, None))
        super().__init__(f"There is no metric {name!r} for {task}; write one of: {known}.")


def metrics_of(task: Task, *, costs: bool, objective: Objective | None = None) -> list[Metric]:
    """The metrics of a task, in the order in which they are shown.

    :param costs: whether it is known what answers cost.
    :param objective: the business's own number, if there is one.
    """
    found = [metric for metric in _ALL if metric.task == task and (costs or metric.name != COST)]
    return found + ([_of(objective)] if objective else [])


def find_metric(name: str, task: Task, objective: Objective | None = None) -> Metric:
    """The metric of that name.

    :param objective: the business's own number, which gives the metric of that name its direction and title.
    :raises UnknownMetric: if the task has none of that name.
    """
    if name == OBJECTIVE and objective is not None:
        return _of(objective)
    metric = _BY_TASK.get((name, task)) or _BY_TASK.get((name, None))
    if metric is None:
        raise UnknownMetric(name, task)
    return metric


def _of(objective: Objective) -> Metric:
    return replace(METRICS[OBJECTIVE], title=objective.title, higher_is_better=objective.goal == "greater")


def display_order(task: Task, first: list[str], *, costs: bool, objective: Objective | None = None) -> list[Metric]:
    """All metrics of the task, those named in ``first`` leading.

    :param costs: whether it is known what answers cost.
    :param objective: the business's own number, if there is one.
    :raises UnknownMetric: if one of them is not a metric of the task.
    """
    leading = [find_metric(name, task, objective) for name in dict.fromkeys(first)]
    return leading + [metric for metric in metrics_of(task, costs=costs, objective=objective) if metric not in leading]
