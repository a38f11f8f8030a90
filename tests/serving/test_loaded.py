"""Whose fault it is when a version fails on rows: the request's is a 422 with the row, the model's a failure."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from include.serving.loaded import LoadedModel, ModelFailed
from include.serving.protocols.calls import Call
from include.serving.validation import RequestRefused

COLUMNS = {"x": "string"}


def loaded(predict_rows: Callable[[Any], list[float]]) -> LoadedModel:
    deployed: Any = SimpleNamespace(model="m", version=1)
    packaged = SimpleNamespace(
        columns=COLUMNS, description={"columns": COLUMNS}, InputError=KeyError, predict_rows=predict_rows
    )
    return LoadedModel(deployed, packaged)


def by_sql(expression: str) -> LoadedModel:
    """A version that computes one expression."""

    def predict_rows(rows: list[dict[str, str]]) -> list[float]:
        with duckdb.connect() as connection:
            query = f"SELECT CAST({expression} AS DOUBLE) FROM (SELECT unnest(?) AS x)"
            return [value for (value,) in connection.execute(query, [[row["x"] for row in rows]]).fetchall()]

    return loaded(predict_rows)


@pytest.mark.parametrize(
    ("expression", "bad"),
    [
        ("x", "zz"),
        ("CAST(x AS BIGINT) * 2", str(2**63 - 1)),
        ("year(strptime(x, '%Y'))", "zz"),
        ("length(chr(CAST(x AS INTEGER)))", "-5"),
        ("length(repeat('a', CAST(x AS BIGINT)))", "99999999999999"),
    ],
)
def test_value_that_sql_cannot_compute_with_is_the_requests_fault(expression: str, bad: str) -> None:
    rows = [{"x": "2013"}, {"x": "2014"}, {"x": bad}]
    with pytest.raises(RequestRefused) as caught:
        by_sql(expression).predict(Call(len(rows), rows))
    assert (caught.value.status, caught.value.row) == (422, 2)
    assert len(by_sql(expression).predict(Call(2, rows[:2]))) == 2


@pytest.mark.parametrize("bad", [0, 1, 2499, 2998, 2999])
def test_first_row_that_cannot_be_computed_is_named_in_a_large_request_too(bad: int) -> None:
    rows = [{"x": "zz" if number in {bad, 2999} else "1"} for number in range(3000)]
    with pytest.raises(RequestRefused) as caught:
        by_sql("x").predict(Call(len(rows), rows))
    assert caught.value.row == bad


@pytest.mark.parametrize("error", [RuntimeError("defect"), duckdb.BinderException("no such column")])
def test_everything_else_is_the_models(error: Exception) -> None:
    def predict_rows(_: object) -> list[float]:
        raise error

    with pytest.raises(ModelFailed, match="m version 1"):
        loaded(predict_rows).predict(Call(1, [{"x": "1"}]))
