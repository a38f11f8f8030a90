"""Row expressions: what is refused and why, and that the canonical text gives DuckDB's own values."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.settings import PROJECT
from include.spec.expressions import FUNCTIONS, ExpressionError, check_expression

ALLOWED = [
    "abs(a)",
    "ceil(a)",
    "floor(a)",
    "round(a)",
    "round(a,1)",
    "trunc(a)",
    "sign(a)",
    "sqrt(abs(a))",
    "cbrt(a)",
    "exp(a)",
    "ln(abs(a))",
    "log(abs(a))",
    "log2(abs(a))",
    "log10(abs(a))",
    "pow(a,2)",
    "mod(i,2)",
    "mod(i+1,2)",
    "fmod(a,2)",
    "even(a)",
    "gcd(i,2)",
    "lcm(i,2)",
    "sin(a)",
    "cos(a)",
    "tan(a)",
    "asin(b/10)",
    "acos(b/10)",
    "atan(a)",
    "atan2(a,b)",
    "sinh(a)",
    "cosh(a)",
    "tanh(a)",
    "radians(a)",
    "degrees(a)",
    "pi()",
    "isnan(a)",
    "isinf(a)",
    "isfinite(a)",
    "greatest(a,b)",
    "least(a,b)",
    "coalesce(n,b)",
    "ifnull(n,b)",
    "nullif(a,b)",
    "if(a>1,1,2)",
    "year(t)",
    "month(t)",
    "day(t)",
    "dayofmonth(t)",
    "hour(t)",
    "minute(t)",
    "second(t)",
    "millisecond(t)",
    "quarter(t)",
    "week(t)",
    "yearweek(t)",
    "isoyear(t)",
    "isodow(t)",
    "dayofweek(t)",
    "weekday(t)",
    "dayofyear(t)",
    "epoch(t)",
    "dayname(t)",
    "monthname(t)",
    "last_day(t)",
    "date_part('hour',t)",
    "date_trunc('hour',t)",
    "date_diff('day',t,u)",
    "date_sub('hour',t,u)",
    "make_date(2013,1,2)",
    "make_timestamp(2013,1,2,3,4,5.0)",
    "strftime(t,'%H')",
    "lower(s)",
    "upper(s)",
    "length(s)",
    "trim(s)",
    "ltrim(s)",
    "rtrim(s)",
    "left(s,2)",
    "right(s,2)",
    "substring(s,1,2)",
    "replace(s,'l','x')",
    "concat(s,'x')",
    "concat_ws('-',s,'x')",
    "contains(s,'l')",
    "starts_with(s,'H')",
    "ends_with(s,'d')",
    "reverse(s)",
    "strpos(s,'l')",
    "split_part(s,'-',1)",
    "ascii(s)",
    "translate(s,'l','x')",
    "strip_accents(s)",
]

PHRASES = [
    "extract(hour FROM t)", "extract(doy FROM t)", "(i // 100) * 60 + i % 100", "i // 2", "-i // 2", "i / 2", "1 / 2",
    "-i % 4", "- - i", "i - -1", "-i ^ 2", "2 ^ 3 ^ 2", "2 ** 3", "i::double / 3", "-i::integer", "i::varchar || s",
    "CAST(i AS DECIMAL(10,2))", "try_cast(s AS double)", "t::date", "date '2013-02-03'", "t + INTERVAL 1 DAY", "u - t",
    "t > timestamp '2013-02-03 04:05:06'",
    "date_diff('hour', t, u)", "a > 15", "a = 3.5 AND NOT f",
    "a != b OR f", "NOT a BETWEEN 1 AND 2", "a NOT IN (1, 3.5)",
    "strftime(t, '%-d %j %U %W %A %a %p %I %f %y %B %b %x %%')",
    "s LIKE 'H%'", "s NOT LIKE 'H%'", "s ILIKE 'h%'", r"s LIKE '%\%%' ESCAPE '\'", "n IS NULL",
    "a IS NOT NULL", "a isnull", "a IS NOT DISTINCT FROM n", "f IS TRUE", "CASE WHEN a > 1 THEN 2 ELSE 3 END",
    "CASE i WHEN 7 THEN 'x' END", "CASE WHEN n > 1 THEN 2 END", "i & 3 = 3", "i << 1", "~i", "2 + 3 || 'x'",
    "s || NULL", "1e3 * a", ".5 * a", "999999999999999999999 + i", "i /* comment */ + 1 -- more", "trim(s, 'H')",
    "position('l' in s)", "\"order\" + 1", "\"a b\" + 1", "user || 'x'", "coalesce(n, i, a)", "a BETWEEN 1 AND 2 OR f",
]  # fmt: skip

REFUSED: dict[str, str] = {
    "s |+@": "is no SQL",
    "a + '\ud800'": "surrogate",
    "": "it is empty",
    "   -- nothing": "it is empty",
    "(SELECT 1)": "subquery",
    "a IN (SELECT 1)": "subquery",
    "EXISTS(SELECT 1)": "subquery",
    "(SELECT max(a) FROM 'x.parquet')": "subquery",
    "SELECT 1": "subquery",
    "FROM x": "subquery",
    "sum(a)": "aggregate",
    "count(*)": "aggregate",
    "avg(a) OVER ()": "window function",
    "lag(a) OVER (ORDER BY t)": "window function",
    "row_number() OVER ()": "window function",
    "random()": "random is not deterministic",
    "now()": "now is not deterministic",
    "today()": "is not deterministic",
    "current_date": "current_date is not deterministic",
    "CURRENT_TIMESTAMP": "is not deterministic",
    "localtimestamp": "is not deterministic",
    "uuid()": "uuid is not deterministic",
    "age(t)": "age is not deterministic",
    "nextval('q')": "not deterministic",
    "read_csv('/etc/passwd')": "the function read_csv is not allowed",
    "read_text('/etc/passwd')": "the function read_text is not allowed",
    "getenv('HOME')": "the function getenv is not allowed",
    "getvariable('x')": "the function getvariable is not allowed",
    "pg_read_file('x')": "is not allowed",
    "query('select 1')": "is not allowed",
    "repeat(s, 1000000000)": "the function repeat is not allowed",
    "lpad(s, 1000000000, 'x')": "the function lpad is not allowed",
    "regexp_matches(s, '(a+)+$')": "is not allowed",
    "s ~ '(a+)+$'": "is not allowed",
    "s SIMILAR TO 'a'": "not allowed",
    "ATTACH 'x.db'": "statement",
    "COPY r TO 'x.csv'": "statement",
    "PRAGMA database_list": "statement",
    "SET threads = 1": "statement",
    "DROP TABLE r": "statement",
    "INSERT INTO r VALUES (1)": "statement",
    "INSTALL httpfs": "statement",
    "a; DROP TABLE r": "several statements",
    "a; b": "several statements",
    "*": "many columns",
    "COLUMNS('.*')": "many columns",
    "?": "placeholder",
    "$1": "placeholder",
    "$name": "placeholder",
    "r.a": "qualified name",
    "main.r.a": "qualified name",
    "a.b": "qualified name",
    "list_transform([1], x -> x + 1)": "not allowed",
    "[1, 2]": "not allowed",
    "{'a': 1}": "not allowed",
    "struct_pack(a := 1)": "not allowed",
    "MAP {'a': 1}": "not allowed",
    "s[1]": "not allowed",
    "s[1:2]": "not allowed",
    "unnest([1, 2])": "not allowed",
    "range(3)": "not allowed",
    "(1, 2)": "not allowed",
    "a AS b": "gives a name with AS",
    "a b": "gives a name with AS",
    "0x10": "gives a name with AS",
    "a COLLATE nocase": "not allowed",
    "t AT TIME ZONE 'UTC'": "not allowed",
    "t::timestamptz": "a cast to TIMESTAMPTZ is not allowed",
    "s::json": "a cast to JSON is not allowed",
    "a::integer[]": "a cast to",
    "CAST(s AS STRUCT(x INTEGER))": "a cast to",
    "CAST(s AS some_enum)": "",
    "a IN b": "IN is not followed by a list",
    "a +": "cannot be parsed",
    "a, b": "cannot be parsed",
    "a )": "cannot be parsed",
    "'open": "cannot be parsed",
    "a\0": "null character",
    "lowerr(s)": "Did you mean `lower`?",
    "a" * 5000: "longer than",
    "+".join(["a"] * 900): "more than 500 parts",
    "(" * 1900 + "a" + ")" * 1900: "",
}


@pytest.fixture(scope="module")
def rows() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute(
            """
            CREATE TABLE r(a DOUBLE, b DOUBLE, i BIGINT, n DOUBLE, t TIMESTAMP, u TIMESTAMP, s VARCHAR, f BOOLEAN,
                           "order" INTEGER, "a b" INTEGER, "user" VARCHAR);
            INSERT INTO r VALUES
              (3.5, -2, 7, NULL, '2013-11-03 01:30:00', '2013-12-05 17:12:33', 'Hello-World', true, 1, 2, 'u'),
              (-1.25, 2, 759, 4, '2012-02-29 23:59:59.5', '2000-01-01', 'Größe 100%', false, -1, 0, ''),
              (0, 0.1, 0, 0, '2000-12-31', '2001-01-01', '', NULL, NULL, 5, NULL),
              (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
              (1e300, 1e-300, 2359, 'nan', '1970-01-01', '2262-01-01', 'l', true, 9, 9, 'x');
            """
        )
        yield connection


def values(rows: duckdb.DuckDBPyConnection, sql: str) -> str:
    try:
        return repr(rows.execute(f"SELECT {sql}\n FROM r").fetchall())
    except duckdb.Error as error:
        return type(error).__name__


@pytest.mark.parametrize("sql", [*ALLOWED, *PHRASES])
def test_the_canonical_text_has_the_values_of_what_was_written(sql: str, rows: duckdb.DuckDBPyConnection) -> None:
    checked = check_expression(sql)
    wanted = values(rows, sql)
    assert wanted.startswith("["), wanted
    assert values(rows, checked.sql) == wanted
    assert check_expression(checked.sql).sql == checked.sql


def test_every_documented_function_is_allowed_and_tested() -> None:
    tested = {one.partition("(")[0] for one in (*ALLOWED, *PHRASES)}
    assert set(FUNCTIONS) - tested == set()


@pytest.mark.parametrize("sql", REFUSED)
def test_what_is_not_a_function_of_the_row_alone_is_refused(sql: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        check_expression(sql)
    print(caught.value)
    assert REFUSED[sql] in str(caught.value)
    assert caught.value.exit_code == 10
    assert caught.value.cure.endswith((".", "?"))


def test_columns_are_collected_as_they_are_written() -> None:
    checked = check_expression("coalesce(a, \"a b\") + CASE WHEN s = 'c' THEN i ELSE date_part('day', t) END")
    assert checked.columns == {"a", "a b", "s", "i", "t"}
    assert check_expression("1 + 1").columns == frozenset()


numbers = st.sampled_from(["a", "b", "i", "n", "2", "0.5", "3"])
booleans = st.sampled_from(["f", "a > b", "i = 7", "n IS NULL", "TRUE", "s LIKE 'H%'"])


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(["+", "-", "*", "/", "//", "%", "^", "**"])
    return st.one_of(
        st.builds("{} {} {}".format, inner, operators, inner),
        st.builds("({})".format, inner),
        st.builds("- {}".format, inner),
        st.builds("abs({})".format, inner),
        st.builds("CASE WHEN {} THEN {} ELSE {} END".format, booleans, inner, inner),
        st.builds("{}::double".format, inner),
        st.builds("coalesce({}, {})".format, inner, inner),
        st.builds("if({}, {}, {})".format, booleans, inner, inner),
        st.builds("mod({}, {})".format, inner, inner),
    )


def _grown_truths(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("{} {} {}".format, inner, st.sampled_from(["AND", "OR"]), inner),
        st.builds("NOT {}".format, inner),
        st.builds("({})".format, inner),
        st.builds("{} IS NULL".format, inner),
        st.builds("({}) = ({})".format, inner, inner),
    )


@pytest.fixture(scope="module")
def plain_rows() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(
            "CREATE TABLE r AS SELECT * FROM (VALUES (3.5::double, -2::double, 7, 0.5::double, 'Hi', true),"
            " (-1.25, 3, -9, NULL, 'b', false), (NULL, 0, 0, 2, NULL, NULL)) x(a, b, i, n, s, f)"
        )
        yield connection


@pytest.mark.parametrize("sql", ["mod(a, - mod(a, a))", "7 % - mod(i, 3)", "- mod(- mod(a, b), b)"])
def test_a_minus_before_a_remainder_negates_the_whole_of_it(sql: str, plain_rows: duckdb.DuckDBPyConnection) -> None:
    assert values(plain_rows, check_expression(sql).sql) == values(plain_rows, sql)


@given(sql=st.one_of(st.recursive(numbers, _grown, max_leaves=8), st.recursive(booleans, _grown_truths, max_leaves=8)))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_expressions_keep_their_values(sql: str, plain_rows: duckdb.DuckDBPyConnection) -> None:
    assert values(plain_rows, check_expression(sql).sql) == values(plain_rows, sql)


@given(text=st.text(max_size=20).filter(lambda text: "\0" not in text))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_text_in_quotes_stays_that_text(text: str, plain_rows: duckdb.DuckDBPyConnection) -> None:
    quoted = "'" + text.replace("'", "''") + "'"
    assert values(plain_rows, check_expression(quoted).sql) == repr([(text,)] * 3)
    name = '"' + (text.replace('"', '""') or "x") + '"'
    assert check_expression(name).columns == {text or "x"}


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_is_an_expression_or_one_clear_error(sql: str) -> None:
    try:
        check_expression(sql)
    except ExpressionError as error:
        assert error.what and error.cure  # noqa: PT017, PT018 - most texts are refused, some are not


def test_importing_the_room_does_not_import_the_parser() -> None:
    code = "import sys, include.spec.expressions, include.spec.columns; print('sqlglot' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, env=dict(os.environ), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
