"""What ``features.json`` says about a definition's features; the feature SQL is the one that the lake was made with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from include.features.history import history_digest
from include.features.select import feature_select
from include.settings import Settings
from include.spec.candidates import trainings
from include.spec.columns import feature_types, input_columns, used_histories
from include.spec.definition import Definition
from include.training.package import describe_model


def describe(
    definition: Definition,
    categories: Mapping[str, Sequence[str]],
    cleaning: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """The content of ``features.json``.

    :param categories: for each category feature its values in the training part, sorted.
    :param cleaning: for each cleaned feature what was learned of it.
    """
    described = describe_model(
        definition,
        columns=input_columns(definition),
        feature_types=feature_types(definition),
        select="" if definition.feature_module else feature_select(definition),
        categories=categories,
        cleaning=cleaning,
    )
    history = _describe_history(definition)
    return described | ({"history": history} if history else {})


def _describe_history(definition: Definition) -> list[dict[str, Any]]:
    """Where the server finds the columns of the past, and by which columns of a row."""
    return [
        {
            "model": history.owner.model,
            "group": history.name,
            "digest": history_digest(history),
            "event_time": definition.source.event_time,
            "keys": dict(zip(history.keys, history.key_types, strict=True)),
            "columns": columns,
        }
        for history, columns in used_histories(definition)
    ]


def trainer_module_paths(settings: Settings, definition: Definition) -> dict[str, Path]:
    """The trainer modules' source files, beside the definition: candidate (or ``""``) → file, where it has one."""
    modules = {name: one.training.trainer.module for name, one in trainings(definition).items()}
    return {name: settings.models / module for name, module in modules.items() if module}


def feature_module_path(settings: Settings, definition: Definition) -> Path | None:
    """The feature module's source file, beside the definition; None if features are SQL."""
    return settings.models / definition.feature_module.path if definition.feature_module else None
