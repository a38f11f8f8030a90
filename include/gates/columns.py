"""Which columns the table of each stage has, by the definition alone."""

from __future__ import annotations

from include.gates.suite import Stage
from include.spec.check_fairness import group_columns
from include.spec.columns import input_columns, naming_columns, used_history_columns
from include.spec.definition import Definition

_INFERENCE = (
    "request_id", "row", "at", "version", "role", "answered", "asked", "deployment", "revision", "entity", "protocol",
    "prediction", "latency_us", "champion_latency_us", "error", "rows_in_request", "segment", "position", "day",
)  # fmt: skip
_FEEDBACK = (
    "request_id", "row", "entity", "label", "at", "received_at", "segment", "position", "item", "day",
)  # fmt: skip


def stage_columns(definition: Definition, stage: Stage) -> tuple[str, ...]:
    """Return every column that the frame judged in this stage has."""
    if stage == "raw":
        return ("_row", *definition.source.columns)
    if stage == "predictions":
        return ("_row", "partition", "label", *_answers(definition))
    if stage == "scoring":
        return tuple(dict.fromkeys(["_row", *naming_columns(definition), *input_columns(definition)]))
    if stage == "scores":
        added = (*_answers(definition), "model_version", "as_of", "data_source")
        return tuple(dict.fromkeys(["_row", *naming_columns(definition), *added]))
    if stage == "inference":
        classes = ("predicted_class", "probabilities") if definition.label.class_names else ()
        return (*_INFERENCE, *classes, *(f"input_{name}" for name in input_columns(definition)))
    if stage == "feedback":
        return _FEEDBACK
    module = definition.feature_module
    features = module.columns if module else definition.features
    named = [*naming_columns(definition), *group_columns(definition)]
    named += used_history_columns(definition)
    columns = dict.fromkeys(["_row", *named, *(f"feature_{name}" for name in features), "label"])
    return (*columns, "part") if stage == "training" else tuple(columns)


def _answers(definition: Definition) -> tuple[str, ...]:
    """What a model answers: the names that :mod:`include.lake.class_columns` gives, without importing what it needs."""
    classes = definition.label.class_names
    by_class = [f"probability_{name}" for name in classes]
    return ("prediction", "predicted_class", *by_class) if classes else ("prediction",)
