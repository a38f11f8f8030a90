"""How many rows a version answers on the event loop follows from what they cost."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from include.serving.loaded import INLINE_ROWS, MOST_INLINE_ROWS, LoadedModel


def loaded(*, admitted: bool = True) -> LoadedModel:
    description = {"columns": {"x": "number"}, "compiled": {"admitted": admitted}}
    deployed: Any = SimpleNamespace(model="m", version=1)
    return LoadedModel(deployed, SimpleNamespace(columns=description["columns"], description=description))


def test_without_compiled_features_no_row_is_answered_there() -> None:
    model = loaded(admitted=False)
    model.note(1.0, 0.0001, 0.0001, 100)
    assert model.inline_rows == 0


@pytest.mark.parametrize(("row_seconds", "least", "most"), [(5e-6, 256, 256), (4e-5, 90, 110), (1e-3, 16, 16)])
def test_the_cheaper_a_row_the_more_are_answered_there(row_seconds: float, least: int, most: int) -> None:
    model = loaded()
    for _ in range(60):
        model.note(1.0, 100 * row_seconds, 100 * row_seconds, 100)
    assert least <= model.inline_rows <= most
    assert INLINE_ROWS <= model.inline_rows <= MOST_INLINE_ROWS


def test_waiting_for_other_threads_makes_no_row_dearer() -> None:
    model = loaded()
    for _ in range(60):
        model.note(1.0, 0.1, 100 * 5e-6, 100)
    assert model.inline_rows == MOST_INLINE_ROWS


def test_requests_beyond_the_compiled_rows_say_nothing_of_their_cost() -> None:
    model = loaded()
    before = model.inline_rows
    model.note(1.0, 30.0, 30.0, MOST_INLINE_ROWS + 1)
    assert model.inline_rows == before


def test_a_version_whose_single_rows_are_slow_answers_none_there_until_it_is_fast_again() -> None:
    model = loaded()
    for _ in range(3):
        model.note(1.0, 1.0, 1.0, 1)
    assert model.inline_rows == 0
    model.note(1.0, 0.0005, 0.0005, 100)
    assert model.inline_rows == 0
    for _ in range(20):
        model.note(1.0, 0.0001, 0.0001, 1)
    assert model.inline_rows >= INLINE_ROWS
