"""The features as SQL: one select item for each, in the definition's order, with DuckDB's meaning."""

from __future__ import annotations

from include.lake.columns import FEATURE_PREFIX, FEATURE_TYPES, LABEL, RESERVED, ReservedColumn
from include.lake.connections import quote_name, quote_text
from include.spec.check_fairness import group_columns
from include.spec.cleaned import cleaned
from include.spec.column_types import DUCKDB_TYPES
from include.spec.columns import feature_types, naming_columns, used_history_columns
from include.spec.definition import Definition


def feature_column(name: str) -> str:
    """The column of a feature in the features table."""
    return FEATURE_PREFIX + name


def feature_items(definition: Definition) -> dict[str, str]:
    """Select items of the SQL features by column name; empty if a feature module computes them."""
    if definition.feature_module is not None:
        return {}
    return {
        feature_column(name): _item(definition, feature.expression, FEATURE_TYPES[feature.type], feature_column(name))
        for name, feature in definition.features.items()
    }


def label_item(definition: Definition) -> str:
    """Select item of the label: a DOUBLE, null where no label exists; of a class its place in ``label.classes``."""
    return f"CAST({label_sql(definition)} AS DOUBLE) AS {quote_name(LABEL)}"


def label_sql(definition: Definition) -> str:
    """The label's expression as SQL; for a multiclass classification it gives the class's place, counted from 0.

    A class that is not declared is an error of the query that computes it.
    """
    sql = cleaned(definition, definition.label.expression).sql
    classes = definition.label.class_names
    if not classes:
        return sql
    found = f"CAST({sql} AS VARCHAR)"
    places = " ".join(f"WHEN {found} = {quote_text(name)} THEN {place}" for place, name in enumerate(classes))
    # A cast that fails, since error() counts as volatile, and TRY, which finds the row, takes no such thing.
    unknown = f"CAST(concat('class ', {found}, ', which is not in label.classes') AS INTEGER)"
    return f"CASE WHEN {found} IS NULL THEN NULL {places} ELSE {unknown} END"


def feature_select(definition: Definition) -> str:
    """The select list of the features, from the raw columns: numeric DOUBLE, category VARCHAR, boolean BOOLEAN.

    Empty if a feature module computes them.
    """
    return ", ".join(feature_items(definition).values())


def carried_columns(definition: Definition) -> list[str]:
    """Raw columns that the features table keeps: entity, event time, slices.

    :raises ReservedColumn: if one has a name that the features table uses for something else.
    """
    names = list(dict.fromkeys([*naming_columns(definition), *group_columns(definition)]))
    taken = [n for n in names if n.lower() in RESERVED or n.lower() == LABEL or n.lower().startswith(FEATURE_PREFIX)]
    if taken:
        raise ReservedColumn(definition.model, taken, "features")
    return names


def features_columns(definition: Definition) -> dict[str, str]:
    """The columns of the features table and their DuckDB types (without ``_row``)."""
    types = definition.source.columns
    columns = {name: DUCKDB_TYPES[types[name]] for name in carried_columns(definition)}
    columns |= {name: DUCKDB_TYPES[kind] for name, kind in used_history_columns(definition).items()}
    columns |= {feature_column(name): FEATURE_TYPES[kind] for name, kind in feature_types(definition).items()}
    return columns | {LABEL: "DOUBLE"}


def features_sql(definition: Definition, source_view: str, *, extra: str = "") -> str:
    """A query for the rows of the features table, without the features that a module computes.

    :param source_view: a view with the raw table's columns.
    :param extra: further select items, put first, ending with a comma.
    """
    items = [quote_name(name) for name in (*carried_columns(definition), *used_history_columns(definition))]
    items += feature_items(definition).values()
    items.append(label_item(definition))
    return f"SELECT {extra}{', '.join(items)} FROM {quote_name(source_view)}"  # nosec B608 # checked expressions


def _item(definition: Definition, expression: str, kind: str, column: str) -> str:
    return f"CAST({cleaned(definition, expression).sql} AS {kind}) AS {quote_name(column)}"
