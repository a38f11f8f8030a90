"""Expressions as definitions hold them: compiled, and equal to DuckDB on every edge row."""

from __future__ import annotations

import pytest

from include.features.compiled.values import NotCompiled
from tests.features.compiled.engine import Comparison

NUMBERS = """
    (i // 100) * 60 + i % 100 | i // -7 | i % -7 | i // j | i % j | i / j | x / y | x / 0 | -i | -x | i * j | i + 0.5
    i * 0.5 | 0.1 + i * i | i * 1.5 - j * 0.25 | x * 0.1 | (x - 32) * 5 / 9 | x % y | abs(i) | abs(x) | sign(x)
    round(x) | round(x, 1) | round(x, 2) | round(i) | floor(x) | ceil(x) | trunc(x) | floor(i) | sqrt(x) | sqrt(i)
    exp(x) | ln(x) | log(x) | log10(x) | log2(x) | pow(x, 2) | pow(i, 2) | pow(x, y) | sin(2 * pi() * hour(t) / 24)
    cos(2 * pi() * dayofyear(t) / 365.25) | i & 255 | i | length(s) * i | sign(x) * 2 | i / 0 | x * null | x - y
    CAST(x AS BIGINT) | CAST(x AS INTEGER) | CAST(i AS SMALLINT) | CAST(b AS INTEGER) | CAST(s AS INTEGER)
    TRY_CAST(s AS DOUBLE) | TRY_CAST(s AS BIGINT) | CAST(i AS INTEGER) * CAST(j AS INTEGER) | i + 2147483648
"""
TIMES = """
    year(t) - i | month(t) | day(t) | hour(t) | minute(t) | second(t) | millisecond(t) | quarter(t) | week(t)
    isoyear(t) | dayofyear(t) | isodow(t) | dayofweek(t) | weekday(t) | epoch(t) | epoch(t) - epoch(w)
    extract(hour FROM t) | date_part('dow', t) | date_part('epoch', t) | hour(t) * 60 + minute(t)
    date_diff('day', t, w) | date_diff('hour', t, w) | date_diff('minute', t, w) | date_diff('second', t, w)
    date_diff('month', t, w) | date_diff('year', t, w) | dayofyear(CAST(t AS DATE)) | week(CAST(t AS DATE))
    CAST(t AS DATE) - CAST('2013-01-01' AS DATE) | epoch(date_trunc('week', t)) | epoch(date_trunc('quarter', t))
    date_diff('day', date_trunc('year', t), t) | epoch(date_trunc('month', t)) | epoch(greatest(t, w))
"""
CHOICES = """
    CASE WHEN x > 1 THEN 1 WHEN x > 0 THEN 2 ELSE 3 END | CASE WHEN b THEN i ELSE 0.5 END | CASE WHEN b THEN x END
    CASE i WHEN 1 THEN 2 WHEN 2400 THEN 3 ELSE 4 END | CASE WHEN i <> 0 THEN j // i END | if(b, i, j)
    CASE WHEN s = '12' THEN CAST(s AS INTEGER) ELSE -1 END | coalesce(i, 0) | coalesce(x, y, 0) | coalesce(x, i)
    coalesce(ln(x), 0) | ifnull(i, j) | nullif(i, 0) | nullif(x, 0) | nullif(i, j) | greatest(i, j) | greatest(x, y)
    least(x, y, 0) | greatest(i, x) | greatest(x - y, 0) | least(x - y, 0) | greatest(i, 0.5) | greatest(i, 0)
    CASE WHEN null THEN 1 ELSE i END
"""
CONDITIONS = """
    isodow(t) >= 6 | i > 0.5 | i = 1.0 | x > 0.5 | x = i | i < x | x <> y | (x - y) > 0 | (x - y) = (y - x) | i > null
    s = 'Yes' | s < u | s >= 'a' | t > w | t > '2013-01-01' | t BETWEEN '2000-01-01' AND '2013-06-01' | b = d | b > d
    CAST(t AS DATE) = CAST('2014-01-01' AS DATE) | CAST(t AS DATE) < w | x IS NULL | x IS NOT NULL | b IS TRUE
    b IS NOT FALSE | b AND d | b OR d | NOT b | b AND x > 1 OR i IS NULL | i BETWEEN 0 AND 100 | x BETWEEN -1 AND 1.5
    i BETWEEN 0.5 AND x | x NOT BETWEEN 0 AND 1 | s IN ('a', 'B6') | s NOT IN ('a', 'B6') | s IN ('a', NULL)
    i IN (1, 2, 100) | i NOT IN (1, NULL) | i IN (1, 2.5) | x IN (0, 1.5) | x IN (1, i) | s LIKE 'a%' | s LIKE '%a%'
    s LIKE '_' | s LIKE 'a__' | s NOT LIKE '%e' | s LIKE '%é' | s LIKE 'a\\%' | contains(s, 'a') | contains(s, u)
    starts_with(s, 'A') | ends_with(s, 'x') | isnan(x) | isnan(x - y) | i IS DISTINCT FROM j | s IS DISTINCT FROM u
    x IS NOT DISTINCT FROM y | x IS NOT DISTINCT FROM 0 | i = '5' | hour(t) = 8 OR hour(t) = 17 | b = 'true'
    i * 0.5 > x | CAST(i AS BOOLEAN)
"""
TEXTS = """
    s | lower(s) | upper(s) | trim(s) | ltrim(s) | rtrim(s) | reverse(s) | left(s, 2) | right(s, 2)
    substring(s, 2, 3) | substring(s, 2) | replace(s, 'a', 'zz') | replace(s, u, '') | s || u | s || 'x' | concat(s, u)
    concat(s, '-', u) | coalesce(s, u, 'none') | nullif(s, '') | greatest(s, u) | CAST(i AS VARCHAR) | dayname(t)
    CASE i WHEN 1 THEN 'a' WHEN 2 THEN 'b' ELSE s END | CASE WHEN b THEN 'é' END | CAST(b AS VARCHAR) | monthname(t)
"""
LEFT_TO_DUCKDB = """
    t + INTERVAL 1 DAY | strftime(t, '%H') | gcd(i, 3) | even(x) | i << 2 | last_day(t) | make_date(2013, 1, i) | x // y
    CAST(i * 0.5 AS INTEGER) | round(i * 0.5) | abs(i * 0.5) | date_part('century', t) | hour(CAST(t AS DATE)) | s > 5
    s ILIKE 'a%' | CAST(x AS FLOAT) | CAST(x AS VARCHAR) | CAST(s AS TIMESTAMP) | trim(s, 'x') | round(i, -1)
    translate(s, 'a', 'b') | strip_accents(s) | split_part(s, 'a', 1) | CAST(t AS VARCHAR)
    s LIKE u | s LIKE 'a!%' ESCAPE '!'
"""


def each(text: str) -> list[str]:
    return [part.strip() for line in text.splitlines() for part in line.split(" | ") if part.strip()]


pytestmark = pytest.mark.filterwarnings("error::SyntaxWarning")


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return Comparison()


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        *((expression, "DOUBLE") for expression in each(NUMBERS + TIMES + CHOICES)),
        *((expression, "BOOLEAN") for expression in each(CONDITIONS)),
        *((expression, "VARCHAR") for expression in each(TEXTS)),
    ],
)
def test_a_compiled_expression_equals_duckdb_on_every_edge_row(
    comparison: Comparison, expression: str, kind: str
) -> None:
    different, answered = comparison.differences(expression, kind, comparison.rows(expression))
    assert different[:1] == []
    assert answered > 80


@pytest.mark.parametrize("expression", each(LEFT_TO_DUCKDB))
def test_an_expression_without_an_exact_form_is_refused_by_name(comparison: Comparison, expression: str) -> None:
    with pytest.raises(NotCompiled, match="is left to DuckDB: ") as caught:
        comparison.differences(expression, "VARCHAR", [])
    assert len(caught.value.why) > 10


@pytest.mark.parametrize(
    ("expression", "row"),
    [
        ("i + j", {"i": 2**63 - 1, "j": 1}),
        ("-i", {"i": -(2**63)}),
        ("abs(i)", {"i": -(2**63)}),
        ("i * j", {"i": 2**62, "j": 2}),
        ("i // j", {"i": 1, "j": 0}),
        ("i % j", {"i": 1, "j": 0}),
        ("CAST(i AS SMALLINT)", {"i": 40000}),
        ("CAST(x AS BIGINT)", {"x": 1e30}),
        ("CAST(s AS INTEGER)", {"s": "many"}),
    ],
)
def test_what_duckdb_refuses_the_compiled_form_leaves_to_it(
    comparison: Comparison, expression: str, row: dict[str, object]
) -> None:
    whole = tuple(row.get(name) for name in ("i", "j", "x", "y", "s", "u", "b", "d", "t", "w"))
    assert comparison.differences(expression, "DOUBLE", [whole]) == ([], 0)
