"""What a definition's keys must mean together: columns that exist, no leakage, sound times and gates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from include.spec.check_clean import clean_findings
from include.spec.check_columns import column_findings
from include.spec.check_drift import decay_findings, drift_findings
from include.spec.check_engine import engine_findings
from include.spec.check_fairness import fairness_findings
from include.spec.check_history import history_findings
from include.spec.check_objective import objective_findings
from include.spec.check_pods import pod_findings
from include.spec.check_production import production_findings
from include.spec.check_retention import retention_findings
from include.spec.check_retirement import retirement_findings
from include.spec.check_robustness import robustness_findings
from include.spec.check_source import source_findings
from include.spec.check_times import time_findings
from include.spec.check_trainers import file_findings, module_findings
from include.spec.check_training import training_findings
from include.spec.clean import Clean
from include.spec.cleaned import cleaned
from include.spec.definition import Definition
from include.spec.expressions import Expression, ExpressionError
from include.spec.histories import row_columns
from include.spec.problems import Finding, KeyPath, choose

__all__ = ["cross_check"]

_NAME_CURE: Final = "Use letters, digits and underscores, starting with a letter."
_STORED_COLUMNS: Final = frozenset({"_row", "_digest", "_inputs", "partition"})
_FEATURE_TABLE_COLUMNS: Final = frozenset({"label", "prediction", "part"})


def cross_check(definition: Definition, folder: Path, *, expressions: bool) -> Iterator[Finding]:
    """Everything that the types alone do not catch.

    :param folder: the definition's folder, in which a feature module must be.
    :param expressions: whether SQL expressions are parsed (imports sqlglot).
    """
    yield from source_findings(definition, expressions=expressions)
    yield from _source_columns(definition)
    yield from _named_columns(definition)
    yield from _feature_names(definition)
    yield from _feature_module(definition, folder)
    yield from clean_findings(definition)
    yield from time_findings(definition)
    yield from drift_findings(definition)
    yield from decay_findings(definition)
    yield from training_findings(definition)
    yield from engine_findings(definition)
    yield from fairness_findings(definition)
    yield from module_findings(definition, folder)
    yield from production_findings(definition)
    yield from retention_findings(definition)
    yield from retirement_findings(definition)
    yield from pod_findings(definition)
    yield from history_findings(definition, expressions=expressions)
    yield from robustness_findings(definition, expressions=expressions)
    if expressions:
        yield from _expressions(definition)
        yield from objective_findings(definition)


def _source_columns(definition: Definition) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for name in definition.source.columns:
        keys = ("source", "columns", name)
        if name.casefold() in _STORED_COLUMNS:
            yield Finding(keys, f"the column name {name!r} is Noria's own", "Rename the column in the source.")
        if not name.strip() or not name.isprintable():
            yield Finding(keys, "a column name must be readable text", "Rename the column in the source.")
        if name.casefold() in seen:
            what = f"{name!r} and {seen[name.casefold()]!r} differ in case only, which DuckDB takes for the same"
            yield Finding(keys, what, "Rename one of the two in the source.")
        seen[name.casefold()] = name


def _named_columns(definition: Definition) -> Iterator[Finding]:
    source, columns = definition.source, definition.source.columns
    places: list[tuple[KeyPath, str]] = [(("source", "event_time"), source.event_time)] if source.event_time else []
    places += [(("source", "entity", i), name) for i, name in enumerate(source.entity)]
    places += [(("evaluation", "slices", i), name) for i, name in enumerate(definition.evaluation.slices)]
    for keys, name in places:
        if name not in columns:
            yield _no_column(keys, name, definition)
        elif name.casefold() in _FEATURE_TABLE_COLUMNS or name.casefold().startswith("feature_"):
            what = f"the column name {name!r} is used by the features table itself"
            yield Finding(keys, what, "Rename the column in the source.")
    for keys, names in (
        (("source", "entity"), source.entity),
        (("evaluation", "slices"), definition.evaluation.slices),
    ):
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield Finding(keys, f"{name!r} is listed twice", "List it once.")
    kind = columns.get(source.event_time) if source.event_time else None
    if kind is not None and kind != "timestamp":
        what = f"the column {source.event_time!r} has the type {kind}"
        yield Finding(("source", "event_time"), what, "The event time must have the type timestamp in source.columns.")


def _no_column(keys: KeyPath, name: str, definition: Definition, *, past: bool = False) -> Finding:
    """:param past: whether a column of the section history could be meant."""
    if past and definition.history:
        cure = choose(name, row_columns(definition), kind="columns in source.columns and in history")
    else:
        cure = choose(name, definition.source.columns, kind="columns in source.columns")
    return Finding(keys, f"there is no column {name!r}", cure)


def _feature_names(definition: Definition) -> Iterator[Finding]:
    names: list[tuple[KeyPath, str]] = [(("features", name), name) for name in definition.features]
    if definition.feature_module is not None:
        names += [(("feature_module", "columns", name), name) for name in definition.feature_module.columns]
        if definition.features:
            cure = "Keep one of the two."
            yield Finding(("feature_module",), "there are features and a feature_module", cure)
    elif not definition.features:
        yield Finding(("features",), "the model has no feature", 'Add at least one, such as `distance: "distance"`.')
    seen: dict[str, str] = {}
    for keys, name in names:
        if not (name.isidentifier() and name.isascii()) or len(name) > 63:
            yield Finding(keys, f"{name[:80]!r} cannot be a feature's name", _NAME_CURE)
        if name.casefold() in seen:
            yield Finding(keys, f"{name!r} and {seen[name.casefold()]!r} differ in case only", "Rename one of them.")
        seen[name.casefold()] = name


def _feature_module(definition: Definition, folder: Path) -> Iterator[Finding]:
    module = definition.feature_module
    if module is None:
        return
    yield from file_findings(("feature_module", "path"), module.path, folder)
    for position, name in enumerate(module.inputs):
        if name not in row_columns(definition):
            yield _no_column(("feature_module", "inputs", position), name, definition, past=True)


def _expressions(definition: Definition) -> Iterator[Finding]:
    problems = list(column_findings(definition))
    yield from problems
    if problems:  # said once, and not again for each feature
        definition = definition.model_copy(update={"clean": Clean(features=definition.clean.features)})
    label, findings = _checked(("label", "expression"), definition.label.expression, definition)
    yield from findings
    secret = label.columns if label else frozenset()
    for name, feature in definition.features.items():
        keys = ("features", name, "expression")
        expression, findings = _checked(keys, feature.expression, definition, past=True)
        yield from findings
        yield from _leaks(keys, expression.columns if expression else frozenset(), secret)
    if definition.feature_module is not None:
        yield from _leaks(("feature_module", "inputs"), frozenset(definition.feature_module.inputs), secret)


def _checked(
    keys: KeyPath, sql: str, definition: Definition, *, past: bool = False
) -> tuple[Expression | None, list[Finding]]:
    try:
        expression = cleaned(definition, sql)
    except ExpressionError as error:
        return None, [Finding(keys, error.what, error.cure)]
    missing = sorted(expression.columns - set(row_columns(definition) if past else definition.source.columns))
    if missing:
        return expression, [_no_column(keys, name, definition, past=past) for name in missing]
    if not expression.columns:
        return expression, [Finding(keys, "the expression reads no column", "Name at least one column of the row.")]
    return expression, []


def _leaks(keys: KeyPath, columns: frozenset[str], secret: frozenset[str]) -> Iterator[Finding]:
    for name in sorted(columns & secret):
        what = f"it reads {name!r}, from which the label is made, so the answer leaks into the model"
        yield Finding(keys, what, "Use columns that are known when the prediction is asked for.")
