"""Which columns a definition reads, and what its features are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from include.spec.cleaned import cleaned
from include.spec.definition import ColumnType, Definition, FeatureType


def input_columns(definition: Definition) -> dict[str, ColumnType]:
    """The source columns that the features need, with their types: what a request must carry."""
    if definition.feature_module is not None:
        return columns_typed(definition, definition.feature_module.inputs)
    read = (cleaned(definition, feature.expression).columns for feature in definition.features.values())
    return columns_typed(definition, frozenset().union(*read))


def feature_types(definition: Definition) -> dict[str, FeatureType]:
    """The features and their types, in the definition's order."""
    if definition.feature_module is not None:
        return dict(definition.feature_module.columns)
    return {name: feature.type for name, feature in definition.features.items()}


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
    """Those of the source's columns with these names, with their types, in the definition's order."""
    wanted = set(names)
    return {name: kind for name, kind in definition.source.columns.items() if name in wanted}
