"""The section retirement: defaults that suit, times in which nothing can happen, and who borrows a model's past."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from include.spec.definition import Definition
from include.spec.lending import borrowers
from tests.spec.conftest import VALID, Write, said_of


def test_a_person_who_retires_a_model_that_nobody_asks_waits_a_minute_at_most(load: Callable[..., Definition]) -> None:
    found = load().retirement
    assert (found.drain, found.quiet, found.keep) == (timedelta(hours=1), timedelta(minutes=1), timedelta(days=30))


@pytest.mark.parametrize("text", ["{drain: 0s}", "{drain: 30s}", "{drain: 1h, quiet: 1h}", "{keep: 1h}"])
def test_what_can_be_meant_is_taken(write: Write, text: str) -> None:
    load_text(write, text)


@pytest.mark.parametrize(
    ("text", "key", "cure"),
    [
        ("{quiet: 0s}", "retirement.quiet", "Write a time such as 1m."),
        ("{drain: 5m, quiet: 10m}", "retirement.quiet", "Write a shorter time than drain"),
        ("{keep: 0s}", "retirement.keep", "at least 1h"),
        ("{keep: 59m}", "retirement.keep", "at least 1h"),
        ("{drain: soon}", "retirement.drain", "not a duration"),
        ("{until: 1h}", "retirement.until", ""),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_cure(write: Write, text: str, key: str, cure: str) -> None:
    said = said_of(write(text=f"{VALID}retirement: {text}\n"), key)
    assert said
    assert cure in said


def load_text(write: Write, text: str) -> Definition:
    from include.spec.loader import load_definition

    return load_definition(write(text=f"{VALID}retirement: {text}\n"))


def test_borrowers_are_those_whose_history_names_the_model(tmp_path: Path) -> None:
    own = yaml.safe_load(VALID)
    for name, history in (("delays", {}), ("other", {}), ("lent", {"recent": {"model": "delays", "by": ["carrier"]}})):
        document = own | {"model": name} | ({"history": history} if history else {})
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(document))
    assert borrowers(tmp_path, "delays") == ["lent"]
    (tmp_path / "broken.yaml").write_text("model: broken\nhistory: {recent: {model: delays}\n")
    (tmp_path / "else.yaml").write_text("model: else\nhistory: {recent: {model: delays_by_day}\n")
    assert borrowers(tmp_path, "delays") == ["broken", "lent"], "better too careful than too late"
