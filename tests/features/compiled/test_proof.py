"""The proof of equality: what passes it, what does not, and what it says then."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import duckdb
import pytest

from include.features.compiled.compiler import compile_features
from include.features.compiled.edges import Row, edge_rows
from include.features.compiled.proof import literals_of, load_compiled, prove, same
from include.features.compiled.values import NotCompiled
from tests.features.compiled.engine import ARROW, KINDS

COLUMNS = {"n": "integer", "x": "number", "place": "string", "at": "timestamp"}
SELECT = (
    'CAST("n" * 10 AS DOUBLE) AS f_ten, CAST("x" / 7.3 AS DOUBLE) AS f_x, '
    'CAST(LOWER("place") AS TEXT) AS f_place, CAST(ISODOW("at") >= 6 AS BOOLEAN) AS f_weekend'
)
FEATURES = ["f_ten", "f_x", "f_place", "f_weekend"]
ROWS: list[Row] = [(3, 0.5, "JFK", datetime.fromisoformat("2013-01-05T17:30")), (None, -1.0, "é", None)]


def source(select: str = SELECT) -> str:
    return compile_features({name: KINDS[kind] for name, kind in COLUMNS.items()}, select, FEATURES)


def by_duckdb(rows: Sequence[Row], select: str = SELECT) -> dict[str, list[Any]]:
    import pyarrow as pa

    with duckdb.connect() as connection:
        columns = zip(COLUMNS.items(), zip(*rows, strict=True), strict=True)
        connection.register(
            "given", pa.table({name: pa.array(values, ARROW[kind]) for (name, kind), values in columns})
        )
        fetched = connection.execute(f"SELECT {select} FROM given").fetchall()
    return {name: [row[place] for row in fetched] for place, name in enumerate(FEATURES)}


def test_equal_features_are_admitted_with_the_number_of_rows() -> None:
    admission = prove(source(), COLUMNS, SELECT, ROWS, by_duckdb)
    assert (admission.admitted, admission.reason) == (True, "")
    assert admission.rows > 1000


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("c1 / 7.3", "c1 / 7.300000000000001"),
        ("ascii_only(c2).lower()", "c2.lower()"),
        (">= 6", "> 6"),
        ("float(", "int("),
        ("None if c1 is None else c1 / 7.3", "0.0 if c1 is None else c1 / 7.3"),
    ],
)
def test_a_form_that_differs_anywhere_is_not_admitted_and_the_reason_names_the_feature(right: str, wrong: str) -> None:
    changed = source().replace(right, wrong)
    assert changed != source()
    admission = prove(changed, COLUMNS, SELECT, ROWS, by_duckdb)
    assert not admission.admitted
    assert "compiled and" in admission.reason
    assert "f_" in admission.reason


def test_a_form_that_answers_what_duckdb_refuses_is_not_admitted() -> None:
    unchecked = source().replace("fits(c0 * 10, -9223372036854775808, 9223372036854775807)", "c0 * 10")
    assert unchecked != source()
    admission = prove(unchecked, COLUMNS, SELECT, ROWS, by_duckdb)
    assert not admission.admitted
    assert admission.reason.startswith("DuckDB refuses the row {'n': ")


def test_a_form_that_answers_nothing_is_not_admitted() -> None:
    admission = prove(source().replace("return (", "return 1 / 0, ("), COLUMNS, SELECT, ROWS, by_duckdb)
    assert (admission.admitted, admission.rows) == (False, 0)


def test_the_same_expressions_give_the_same_bytes_and_no_name_reaches_the_code() -> None:
    odd = {"a\n'''b": "BIGINT"}
    select = """CAST("a\n\'\'\'b" + 1 AS DOUBLE) AS f"""
    text = compile_features(odd, select, ["f"])
    assert text == compile_features(odd, select, ["f"])
    module = load_compiled(text)
    assert module.compute(4) == (5.0,)
    assert tuple(odd) == module.COLUMNS


def test_a_feature_that_cannot_be_compiled_is_named_with_its_part() -> None:
    with pytest.raises(NotCompiled, match=r"`CAST\(STRFTIME\(.*is left to DuckDB: timetostr has no compiled form"):
        compile_features({"at": "TIMESTAMP"}, "CAST(STRFTIME(\"at\", '%H') AS VARCHAR) AS f", ["f"])


def test_a_text_that_duckdb_reads_with_another_precedence_is_not_compiled() -> None:
    with pytest.raises(NotCompiled, match="another precedence"):
        compile_features({"a": "BIGINT"}, "CAST(-a ** 2 AS DOUBLE) AS f", ["f"])


def test_edge_rows_are_the_same_every_time_and_reach_around_the_constants() -> None:
    literals = literals_of("CASE WHEN n > 2400 THEN 1 WHEN place = 'JFK' THEN 2 END AS f")
    rows = edge_rows(COLUMNS, literals, ROWS)
    assert rows == edge_rows(COLUMNS, literals, ROWS)
    assert {2399, 2400, 2401} <= {row[0] for row in rows}
    assert {"JFK", "jfk", "JF"} <= {row[2] for row in rows}
    assert (None, None, None, None) in rows


@pytest.mark.parametrize(
    ("compiled", "expected", "equal"),
    [
        (0.0, -0.0, False),
        (None, float("nan"), True),
        (float("nan"), float("nan"), True),
        (1, 1.0, False),
        (True, True, True),
        (None, None, True),
        (0.0, None, False),
        ("a", "a", True),
        (float("nan"), 0.0, False),
    ],
)
def test_values_are_the_same_in_type_and_bits(compiled: Any, expected: Any, equal: bool) -> None:
    assert same(compiled, expected) is equal
