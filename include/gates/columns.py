"""Which columns the table of each stage has, by the definition alone."""

from __future__ import annotations

from include.gates.suite import Stage
from include.spec.definition import Definition


def stage_columns(definition: Definition, stage: Stage) -> tuple[str, ...]:
    """Return every column that the frame judged in this stage has."""
    if stage == "raw":
        return ("_row", *definition.source.columns)
    if stage == "predictions":
        return ("_row", "partition", "label", "prediction")
    source = definition.source
    module = definition.feature_module
    features = module.columns if module else definition.features
    named = [*source.entity, source.event_time, *definition.evaluation.slices]
    columns = dict.fromkeys(["_row", *named, *(f"feature_{name}" for name in features), "label"])
    return (*columns, "part") if stage == "training" else tuple(columns)
