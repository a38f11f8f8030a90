"""Quoted names and texts: whatever is in them, DuckDB reads them as names and texts."""

from __future__ import annotations

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from include.lake.connections import quote_name, quote_text

# DuckDB's own names and texts end at a zero byte; neither definitions nor files can have one in theirs.
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
HOSTILE = st.sampled_from(["'", '"', "''", '""', ";", "--", "/*", "\\", "\\'", "$$", "%s", "?", "); DROP TABLE t; --"])
PIECES = st.lists(st.one_of(TEXTS, HOSTILE), min_size=1, max_size=5).map("".join)


FAST = settings(deadline=None, max_examples=60)


@FAST
@given(PIECES)
def test_any_text_comes_back(text: str) -> None:
    assert duckdb.execute(f"SELECT {quote_text(text)}, 1").fetchall() == [(text, 1)]


@FAST
@given(PIECES.filter(lambda name: name.lower() not in ("", "other")))
def test_any_name_names_one_column(name: str) -> None:
    found = duckdb.execute(f"SELECT {quote_name(name)}, other FROM (SELECT 1 AS {quote_name(name)}, 7 AS other)")
    assert [column[0] for column in found.description or []] == [name, "other"]
    assert found.fetchall() == [(1, 7)]
