"""Random expressions over the columns of the tests, by the type that they give."""

from __future__ import annotations

from hypothesis import strategies as st

Text = st.SearchStrategy[str]

_COMPARED = ["=", "<>", "<", "<=", ">", ">="]
_WORDS = st.sampled_from(["'a'", "''", "'B6'", "'Yes'", "'é'", "'ab'", "'12'", "' '"])
_WHOLE = st.one_of(st.sampled_from(["0", "1", "2", "7", "60", "100", "2400"]), st.integers(-(10**6), 10**9).map(str))
_POINTED = st.sampled_from(["0.1", "0.5", "1.0", "2.25", "-3.75", "1e3", "2.5e-3", "100.0"])
_DAYS = st.sampled_from(["'2013-01-01'", "'2012-02-29 12:34:56.789012'", "CAST('1970-01-01' AS DATE)"])
_PARTS = ["year", "month", "day", "hour", "minute", "second", "quarter", "dayofyear", "isodow", "dayofweek", "week"]


def _form(text: str, *parts: Text) -> Text:
    return st.tuples(*parts).map(lambda given: text.format(*given))


def _names(text: str, names: list[str], *parts: Text) -> Text:
    return st.tuples(st.sampled_from(names), *parts).map(lambda given: text.format(*given))


def expressions(depth: int) -> dict[str, Text]:
    """Strategies for integer, number, text, condition and time, of at most this depth."""
    whole, number = st.sampled_from(["i", "j"]), st.sampled_from(["x", "y"])
    text, condition, time = st.sampled_from(["s", "u"]), st.sampled_from(["b", "d"]), st.sampled_from(["t", "w"])
    if depth == 0:
        return {"integer": whole, "number": number, "text": text, "condition": condition, "time": time}
    below = expressions(depth - 1)
    whole, number, text = below["integer"], below["number"], below["text"]
    condition, time = below["condition"], below["time"]
    wholes, numbers, texts = (
        st.one_of(whole, _WHOLE),
        st.one_of(number, whole, _POINTED, _WHOLE),
        st.one_of(text, _WORDS),
    )
    return {
        "integer": st.one_of(
            whole,
            _names("({1} {0} {2})", ["+", "-", "*", "//", "%", "&"], whole, wholes),
            _form("(- {})", whole),
            _names("{0}({1})", ["abs", "sign"], st.one_of(whole, number)),
            _names("{0}({1})", _PARTS, time),
            _form("length({})", text),
            _form("strpos({}, {})", text, texts),
            _names("date_diff('{0}', {1}, {2})", ["day", "month", "year", "hour"], time, time),
            _form("CASE WHEN {} THEN {} WHEN {} THEN {} ELSE {} END", condition, whole, condition, wholes, whole),
            _form("coalesce({}, {})", whole, wholes),
            _form("nullif({}, {})", whole, wholes),
            _names("{0}({1}, {2})", ["greatest", "least"], whole, wholes),
            _form("TRY_CAST({} AS BIGINT)", text),
            _form("CAST({} AS BIGINT)", st.one_of(number, condition)),
        ),
        "number": st.one_of(
            number,
            _names("({1} {0} {2})", ["+", "-", "*", "/", "%"], number, numbers),
            _names("({1} {0} {2})", ["+", "-", "*", "/"], whole, _POINTED),
            _form("({} / {})", whole, wholes),
            _names("{0}({1})", ["abs", "floor", "ceil", "round", "trunc", "sqrt", "exp", "ln", "sin", "cos"], number),
            _names("round({1}, {0})", ["0", "1", "2", "5"], number),
            _form("pow({}, {})", number, numbers),
            _form("epoch({})", time),
            _form("CASE WHEN {} THEN {} ELSE {} END", condition, number, numbers),
            _form("CASE {} WHEN {} THEN {} END", whole, wholes, numbers),
            _form("coalesce({}, {})", number, numbers),
            _form("nullif({}, {})", number, numbers),
            _names("{0}({1}, {2})", ["greatest", "least"], number, numbers),
            _form("CAST({} AS DOUBLE)", st.one_of(whole, condition)),
            _form("TRY_CAST({} AS DOUBLE)", text),
        ),
        "text": st.one_of(
            text,
            _form("({} || {})", text, texts),
            _form("concat({}, {})", text, texts),
            _names("{0}({1})", ["lower", "upper", "trim", "ltrim", "rtrim", "reverse"], text),
            _names("{0}({1}, 2)", ["left", "right"], text),
            _form("substring({}, 2, 3)", text),
            _form("replace({}, {}, {})", text, texts, texts),
            _form("CASE WHEN {} THEN {} ELSE {} END", condition, texts, text),
            _form("coalesce({}, {})", text, texts),
            _form("nullif({}, {})", text, texts),
            _form("CAST({} AS VARCHAR)", st.one_of(whole, condition)),
            _names("{0}({1})", ["dayname", "monthname"], time),
        ),
        "condition": st.one_of(
            condition,
            _names("({1} {0} {2})", _COMPARED, numbers, number),
            _names("({1} {0} {2})", _COMPARED, whole, numbers),
            _names("({1} {0} {2})", _COMPARED, texts, text),
            _names("({1} {0} {2})", _COMPARED, time, st.one_of(time, _DAYS)),
            _names("({1} {0} {2})", ["AND", "OR", "=", "IS DISTINCT FROM"], condition, condition),
            _form("(NOT {})", condition),
            _names("({1} IS {0})", ["NULL", "NOT NULL"], st.one_of(number, text, condition, time)),
            _names("({1} IS {0})", ["TRUE", "NOT FALSE"], condition),
            _form("({} IS NOT DISTINCT FROM {})", number, numbers),
            _form("({} BETWEEN {} AND {})", number, numbers, numbers),
            _form("({} IN ({}, {}, 2))", whole, wholes, numbers),
            _form("({} NOT IN ({}, 'B6', NULL))", text, texts),
            _names("({1} {0} '%a_b%')", ["LIKE", "NOT LIKE"], text),
            _names("({1} LIKE '{0}')", ["%", "_", "a%", "%é", "A_"], text),
            _names("{0}({1}, {2})", ["contains", "starts_with", "ends_with"], text, texts),
            _form("isnan({})", number),
        ),
        "time": st.one_of(
            time,
            _names("date_trunc('{0}', {1})", ["year", "month", "week", "day", "hour", "minute"], time),
            _form("coalesce({}, {})", time, time),
            _names("{0}({1}, {2})", ["greatest", "least"], time, time),
        ),
    }


def features(depth: int = 3) -> st.SearchStrategy[tuple[str, str]]:
    """An expression and the DuckDB type that a feature of it would have."""
    by_type = expressions(depth)
    return st.one_of(
        st.tuples(st.one_of(by_type["integer"], by_type["number"]), st.just("DOUBLE")),
        st.tuples(by_type["text"], st.just("VARCHAR")),
        st.tuples(by_type["condition"], st.just("BOOLEAN")),
    )
