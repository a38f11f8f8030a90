"""Checks of the business's own number: SQL that can be used, columns that exist, and that requests carry."""

from __future__ import annotations

from collections.abc import Iterator

from include.spec.columns import input_columns
from include.spec.definition import Definition
from include.spec.expressions import ExpressionError, check_expression
from include.spec.objective import OWN_NAMES, Objective
from include.spec.problems import Finding, KeyPath, choose
from include.spec.production import live_metric

_KEYS: KeyPath = ("evaluation", "objective")


def objective_findings(definition: Definition) -> Iterator[Finding]:
    """What is wrong with a definition's objective, and with a threshold that is found by it. Parses SQL."""
    objective = definition.evaluation.objective
    yield from _threshold(definition)
    if objective is None:
        return
    if definition.task == "multiclass_classification":
        what = "an objective reads one number for each row, and the task is multiclass_classification"
        yield Finding(_KEYS, what, "Remove it, and judge by log_loss or macro_f1.")
        return
    found = [finding for key, sql in objective.expressions.items() for finding in _of_sql(key, sql, definition)]
    yield from found or _live(objective, definition)


def _of_sql(key: str, sql: str, definition: Definition) -> Iterator[Finding]:
    keys, columns = (*_KEYS, key), definition.source.columns
    try:
        read = check_expression(sql).columns
    except ExpressionError as error:
        yield Finding(keys, error.what, error.cure)
        return
    if definition.task == "regression" and "decision" in read:
        cure = "Use prediction, which is the value."
        yield Finding(keys, "it reads decision, but a regression decides nothing", cure)
    for name in sorted(read - set(columns) - set(OWN_NAMES)):
        cure = choose(name, (*OWN_NAMES, *columns), kind="names")
        yield Finding(keys, f"there is no column {name!r}", cure)
    if key == "expression" and not read & {"prediction", "decision"}:
        what = "it reads neither prediction nor decision, so every model would reach the same"
        yield Finding(keys, what, "Say what the prediction earns or costs.")


def _threshold(definition: Definition) -> Iterator[Finding]:
    evaluation, keys = definition.evaluation, ("evaluation", "threshold_from")
    if evaluation.threshold_from == "definition":
        return
    if definition.task != "binary_classification":
        yield Finding(keys, f"the task is {definition.task}, which has no threshold", "Remove it.")
    elif evaluation.costs is None and not _decides(evaluation.objective):
        what = "nothing says what a decision is worth"
        yield Finding(keys, what, "Give evaluation.costs, or an evaluation.objective that reads decision.")
    if "threshold" in evaluation.model_fields_set:
        yield Finding(("evaluation", "threshold"), "each version's own threshold takes its place", "Remove it.")


def _decides(objective: Objective | None) -> bool:
    try:
        return objective is not None and any(
            "decision" in check_expression(sql).columns for sql in objective.expressions.values()
        )
    except ExpressionError:  # said where it stands
        return True


def _live(objective: Objective, definition: Definition) -> Iterator[Finding]:
    """A challenger in production is judged by what requests carry and labels say."""
    keys = _live_use(definition)
    if keys is None:
        return
    try:
        unseen = objective.columns() - set(input_columns(definition))
    except ExpressionError:  # said where it stands
        return
    hidden = objective.columns() & set(definition.serving.personal)
    cure = "Give deployment.rollback.metric (or the stage's metric) another metric for that."
    if unseen:
        what = f"it judges in production, too, but requests do not carry {', '.join(sorted(unseen))}"
        yield Finding(keys, what, cure)
    elif hidden:
        what = f"it judges in production, too, but the log holds only hashes of {', '.join(sorted(hidden))}"
        yield Finding(keys, what, cure)


def _live_use(definition: Definition) -> KeyPath | None:
    """Where the definition has the objective judge in production; of several places the first."""
    deployment = definition.deployment
    for position, stage in enumerate(deployment.stages):
        if stage.metric == "objective":
            return ("deployment", "stages", position)
    if not {stage.kind for stage in deployment.stages} & {"shadow", "canary", "ab"}:
        return None
    if deployment.rollback.metric == "objective":
        return ("deployment", "rollback", "metric")
    if deployment.rollback.metric is None and live_metric(definition) == "objective":
        return (*_KEYS, "expression")
    return None
