"""Which columns a definition reads, and what its features are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from include.spec.cleaned import cleaned
from include.spec.definition import ColumnType, Definition, FeatureType
from include.spec.histories import History, histories, row_columns


def input_columns(definition: Definition) -> dict[str, ColumnType]:
    """The columns that the features need, with their types: what the model takes.

    Columns of the past come last, and the key of each of their groups is needed too: the server looks up by it.
    """
    read = columns_read(definition)
    keys = (key for history in histories(definition) if read & history.columns.keys() for key in history.keys)
    return columns_typed(definition, read.union(keys))


def columns_read(definition: Definition) -> frozenset[str]:
    """The columns that the features themselves read."""
    if definition.feature_module is not None:
        return frozenset(definition.feature_module.inputs)
    read = (cleaned(definition, feature.expression).columns for feature in definition.features.values())
    return frozenset().union(*read)


def used_histories(definition: Definition) -> list[tuple[History, dict[str, ColumnType]]]:
    """The groups of the past that the features read, each with the columns that they read of it."""
    if not definition.history:
        return []
    read = columns_read(definition)
    found = ((one, {name: kind for name, kind in one.columns.items() if name in read}) for one in histories(definition))
    return [(one, columns) for one, columns in found if columns]


def used_history_columns(definition: Definition) -> dict[str, ColumnType]:
    """The columns of the past that the features read, with their types."""
    return {name: kind for _, columns in used_histories(definition) for name, kind in columns.items()}


def naming_columns(definition: Definition) -> list[str]:
    """The source columns that say which row it is: entity, and the event time if there is one."""
    source = definition.source
    names = [*source.entity, *([source.event_time] if source.event_time is not None else [])]
    return list(dict.fromkeys(names))


def feature_types(definition: Definition) -> dict[str, FeatureType]:
    """The features and their types, in the definition's order."""
    if definition.feature_module is not None:
        return dict(definition.feature_module.columns)
    return {name: feature.type for name, feature in definition.features.items()}


def personal_features(definition: Definition) -> frozenset[str]:
    """The features that are made from a personal column; of a feature module all, if there is such a column."""
    personal = set(definition.serving.personal)
    if not personal:
        return frozenset()
    if definition.feature_module is not None:
        return frozenset(definition.feature_module.columns)
    read = {name: cleaned(definition, one.expression).columns for name, one in definition.features.items()}
    return frozenset(name for name, columns in read.items() if columns & personal)


@dataclass(frozen=True)
class AddedInput:
    """An input of the model that cleaning adds.

    :param of: the feature that it tells of.
    :param flag: what it tells: that the value was ``missing``, or an ``outlier``.
    """

    of: str
    flag: Literal["missing", "outlier"]


def added_inputs(definition: Definition) -> dict[str, AddedInput]:
    """The inputs that cleaning adds after the features, by name, in the definition's order of features."""
    rules = definition.clean.features
    added: dict[str, AddedInput] = {}
    for name in feature_types(definition):
        if name in rules and rules[name].indicator:
            added[f"{name}_missing"] = AddedInput(of=name, flag="missing")
        if name in rules and rules[name].flag:
            added[f"{name}_outlier"] = AddedInput(of=name, flag="outlier")
    return added


def model_inputs(definition: Definition) -> list[str]:
    """All inputs of the model in the order of its matrix: the features, then what cleaning adds."""
    return [*feature_types(definition), *added_inputs(definition)]


def columns_typed(definition: Definition, names: Iterable[str]) -> dict[str, ColumnType]:
    """Those of a row's columns with these names, with their types, in the definition's order."""
    wanted = set(names)
    return {name: kind for name, kind in row_columns(definition).items() if name in wanted}
