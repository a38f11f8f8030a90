"""Which columns a definition reads, and what its features are."""

from __future__ import annotations

from collections.abc import Iterable

from include.spec.definition import ColumnType, Definition, FeatureType
from include.spec.expressions import check_expression


def input_columns(definition: Definition) -> dict[str, ColumnType]:
    """The source columns that the features need, with their types: what a request must carry."""
    if definition.feature_module is not None:
        return _ordered(definition, definition.feature_module.inputs)
    read = (check_expression(feature.expression).columns for feature in definition.features.values())
    return _ordered(definition, frozenset().union(*read))


def feature_types(definition: Definition) -> dict[str, FeatureType]:
    """The features and their types, in the definition's order."""
    if definition.feature_module is not None:
        return dict(definition.feature_module.columns)
    return {name: feature.type for name, feature in definition.features.items()}


def _ordered(definition: Definition, names: Iterable[str]) -> dict[str, ColumnType]:
    wanted = set(names)
    return {name: kind for name, kind in definition.source.columns.items() if name in wanted}
