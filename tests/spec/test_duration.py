"""Durations are read as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.spec.definition import Definition
from include.spec.duration import LONGEST, format_duration, parse_duration
from include.spec.loader import load_definition
from tests.spec.conftest import Write


@given(st.integers(0, int(LONGEST.total_seconds())))
def test_what_is_written_reads_back(seconds: int) -> None:
    duration = timedelta(seconds=seconds)
    assert parse_duration(format_duration(duration)) == duration


@pytest.mark.parametrize(("text", "hours"), [("2w", 336), ("90d", 2160), ("6h", 6), ("90m", 1.5), ("0s", 0)])
def test_units(text: str, hours: float) -> None:
    assert parse_duration(text) == timedelta(hours=hours)


@pytest.mark.parametrize(
    "wrong", ["", "7", "d", "7 d", "-7d", "7.5d", "7days", "P7D", "٧d", 7, None, [], "1" * 50 + "d"]
)
def test_anything_else_is_refused_with_an_example(wrong: object) -> None:
    with pytest.raises(ValueError, match="such as 7d or 12h"):
        parse_duration(wrong)


def test_a_definition_survives_json(write: Write) -> None:
    definition = load_definition(write())
    assert Definition.model_validate_json(definition.model_dump_json()) == definition
    assert definition.model_dump(mode="json")["training"]["window"] == "90d"
