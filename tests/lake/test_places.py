"""The hash that splits data without time: known values, one for each type, that no change of code may move."""

from __future__ import annotations

import hashlib

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.lake.places import place_sql, row_places, split_columns
from include.spec.definition import Definition
from tests.lake.factories import make_definition

TYPES = {"name": "string", "number": "integer", "yes": "boolean", "at": "timestamp", "days": "number"}


def definition(*entity: str) -> Definition:
    """Without time, named by these columns."""
    source = make_definition().source.model_copy(
        update={"event_time": None, "entity": list(entity), "columns": TYPES}  # other sections are not looked at
    )
    return make_definition().model_copy(update={"source": source})


def place(entity: dict[str, str], named: Definition) -> int:
    """The place of one row, whose values are given as SQL."""
    row = ", ".join(f"{value} AS {name}" for name, value in entity.items())
    [[found]] = duckdb.sql(f"SELECT {place_sql(named)} FROM (SELECT {row})").fetchall()
    return int(found)


@pytest.mark.parametrize(
    ("entity", "expected"),
    [
        ({"number": "CAST(17 AS BIGINT)"}, 4418),
        ({"name": "'17'"}, 4418),  # declared as text it is the same entity
        ({"number": "CAST(-1 AS BIGINT)"}, 9105),
        ({"name": "'Zoë 🙂'"}, 1861),
        ({"name": "''"}, 4374),
        ({"name": "NULL"}, 199),
        ({"yes": "true"}, 1345),
        ({"at": "TIMESTAMP '2013-03-10 02:30:00.5'"}, 1104),
        ({"name": "'ab'", "number": "CAST(3 AS BIGINT)"}, 3968),
    ],
)
def test_an_entity_has_this_place_for_ever(entity: dict[str, str], expected: int) -> None:
    assert place(entity, definition(*entity)) == expected


def test_the_order_in_which_the_entity_is_listed_changes_nothing() -> None:
    row = {"name": "'ab'", "number": "CAST(3 AS BIGINT)"}
    assert place(row, definition("name", "number")) == place(row, definition("number", "name"))
    assert split_columns(definition("number", "name")) == ["name", "number"]


def test_values_that_only_run_together_alike_are_not_the_same_entity() -> None:
    texts = definition("name", "other")
    texts.source.columns["other"] = "string"
    assert place({"name": "'ab'", "other": "'c'"}, texts) != place({"name": "'a'", "other": "'bc'"}, texts)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), st.integers(-(2**63), 2**63 - 1))
def test_the_place_is_what_its_definition_says(name: str, number: int) -> None:
    expected = hashlib.sha256(f"{len(name)}:{name},{len(str(number))}:{number},".encode()).hexdigest()[:15]
    [[found]] = duckdb.execute(
        f"SELECT {place_sql(definition('name', 'number'))} FROM (SELECT ?::VARCHAR AS name, ?::BIGINT AS number)",
        [name, number],
    ).fetchall()
    assert found == int(expected, 16) % 10_000


def test_places_of_rows_come_in_their_order_and_are_spread_evenly() -> None:
    rows = pd.DataFrame({"number": np.arange(20_000)[::-1], "other": 1.5}, index=np.arange(20_000) % 7)
    places = row_places(definition("number"), rows)
    assert places[-18] == place({"number": "CAST(17 AS BIGINT)"}, definition("number"))
    shares = np.histogram(places, bins=10, range=(0, 10_000))[0] / 20_000
    assert shares == pytest.approx(0.1, abs=0.01)  # five standard deviations
    assert (places.min() >= 0, places.max() < 10_000) == (True, True)


def test_whole_numbers_with_gaps_keep_their_places() -> None:
    gaps = pd.DataFrame({"number": [17.0, None], "name": ["ab", None]})  # as pandas reads them back
    assert row_places(definition("number"), gaps).tolist() == [4418, 199]
    assert row_places(definition("name"), gaps)[1] == 199
