"""The features as SQL: types, names, order, and DuckDB's meaning."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from include.features.select import carried_columns, feature_select, features_columns, features_sql
from include.lake.columns import ReservedColumn
from tests.lake.factories import make_definition

ROWS = "(VALUES (1.5::DOUBLE, 'A', true, 0::BIGINT, 3.0::DOUBLE)) r(price, shop, express, number, days)"


def value_of(expression: str, kind: str = "numeric") -> Any:
    definition = make_definition(features={"f": {"expression": expression, "type": kind}})
    relation = duckdb.sql(f"SELECT {feature_select(definition)} FROM {ROWS}")
    assert relation.columns == ["feature_f"]
    assert relation.types == [{"numeric": "DOUBLE", "category": "VARCHAR", "boolean": "BOOLEAN"}[kind]]
    return relation.fetchall()[0][0]


@pytest.mark.parametrize(
    ("expression", "kind", "expected"),
    [
        ("price * 2", "numeric", 3.0),
        ("number", "numeric", 0.0),
        ("express", "numeric", 1.0),
        ("lower(shop)", "category", "a"),
        ("number", "category", "0"),
        ("price > 1", "boolean", True),
        ("number", "boolean", False),
        ("price / nullif(number, 0)", "numeric", None),
        ("price / number", "numeric", float("inf")),
    ],
)
def test_a_feature_has_duckdbs_value_in_its_declared_type(expression: str, kind: str, expected: object) -> None:
    assert value_of(expression, kind) == expected


def test_the_table_has_entity_time_slices_features_and_label_once_each() -> None:
    columns = features_columns(make_definition())
    assert list(columns) == ["shop", "number", "at", "feature_price", "feature_shop", "feature_express", "label"]
    assert columns["label"] == "DOUBLE"
    assert carried_columns(make_definition()) == ["shop", "number", "at"]


def test_the_label_is_a_double_and_null_where_there_is_none() -> None:
    query = features_sql(make_definition(), "rows")
    rows = "VALUES (1.0, 'A', true, 1, TIMESTAMP '2024-01-01', 3.0), (1.0, 'A', true, 2, TIMESTAMP '2024-01-01', NULL)"
    connection = duckdb.connect()
    connection.execute(f'CREATE VIEW rows AS SELECT * FROM ({rows}) r(price, shop, express, number, "at", days)')
    assert [row[-1] for row in connection.execute(query).fetchall()] == [1.0, None]


def test_a_carried_column_with_a_reserved_name_is_refused() -> None:
    columns = {"at": "timestamp", "label": "string", "number": "integer", "days": "number", "price": "number"}
    definition = make_definition(
        source={"columns": columns, "entity": ["label"]},
        features={"price": {"expression": "price"}},
        evaluation={"metrics": ["roc_auc"], "gates": [{"metric": "roc_auc", "at_least": 0.5}]},
    )
    with pytest.raises(ReservedColumn, match="label"):
        features_columns(definition)
