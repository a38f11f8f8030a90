"""CI's parts of the dear tests (.ci/ADR-by-turns.md): together all, each once, and the other tests in every part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from tests import conftest

MARK = pytest.mark.by_turns.mark


@dataclass(frozen=True)
class Item:
    """A test as pytest collects it, which may be marked by itself or with its whole file."""

    nodeid: str
    alone: bool = False
    with_file: bool = False

    @property
    def own_markers(self) -> list[Any]:
        return [MARK] if self.alone else []

    def get_closest_marker(self, name: str) -> Any:
        return MARK if name == "by_turns" and (self.alone or self.with_file) else None


ALWAYS = [Item("tests/a.py::test_access"), Item("tests/d.py::test_quick")]
DEAR = [
    *(Item(f"tests/b.py::test_{name}", with_file=True) for name in "xyz"),
    *(Item(f"tests/c.py::test_kill[{victim}]", alone=True) for victim in ("step", "server")),
    Item("tests/d.py::test_slow", alone=True),
]


def left(
    turn: str | None, collected: Iterable[Item] = (*ALWAYS, *DEAR), last_failed: bool = False
) -> tuple[set[Item], set[Item]]:
    """What is run, and what pytest is told was left out."""
    items, told = [*collected], set[Item]()
    options = {"--turn": turn and conftest._turn(turn), "--last-failed": last_failed}
    config: Any = SimpleNamespace(
        getoption=lambda name, default=None: options.get(name, default),
        hook=SimpleNamespace(pytest_deselected=lambda items: told.update(items)),
    )
    conftest.pytest_collection_modifyitems(config, items)  # type: ignore[arg-type]
    return set(items), told


def test_the_parts_are_together_all_dear_tests_and_each_is_in_one() -> None:
    parts = [left(f"{number}/3")[0] - set(ALWAYS) for number in (1, 2, 3)]
    assert set.union(*parts) == set(DEAR)
    assert sum(len(part) for part in parts) == len(DEAR)
    assert all(parts)


def test_the_other_tests_are_in_every_part_and_what_is_left_out_is_told() -> None:
    for number in (1, 2, 3):
        run, told = left(f"{number}/3")
        assert set(ALWAYS) <= run
        assert run | told == {*ALWAYS, *DEAR}


def test_tests_of_a_marked_file_stay_together() -> None:
    for number in (1, 2, 3):
        assert len([item for item in left(f"{number}/3")[0] if item.with_file]) in {0, 3}


def test_without_turns_and_in_the_only_part_there_is_everything() -> None:
    assert left(None) == left("1/1") == ({*ALWAYS, *DEAR}, set())


@pytest.mark.parametrize("turn", ["1/3", "2/3", "3/3"])
def test_what_failed_is_run_again_in_every_part(turn: str) -> None:
    assert left(turn, collected=DEAR[:1], last_failed=True) == ({DEAR[0]}, set())


@pytest.mark.parametrize("text", ["0/3", "4/3", "one"])
def test_a_turn_that_there_is_not_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        conftest._turn(text)
