"""A few cells of the kill matrix (tests/chaos) at seeded instants: victims and works that test_faults.py leaves out."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.chaos.kills import run_cell
from tests.chaos.world import World
from tests.e2e.line import Line

pytestmark = pytest.mark.faults

SEED = 7
LENGTHS = {"data": 15.0, "score": 8.0, "monitor": 8.0}
"""Seconds over which the instants are drawn: about what the works take when nobody is killed."""


@pytest.fixture(scope="module")
def world(line: Line, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("chaos"), instants=1, lengths=dict(LENGTHS), given=line)
    yield world
    world.subject.close()


@pytest.mark.by_turns
@pytest.mark.parametrize(("work", "victim"), [("score", "step"), ("data", "warm-parent"), ("monitor", "api-server")])
def test_whatever_is_killed_the_work_is_finished_and_everything_holds(world: World, work: str, victim: str) -> None:
    print(run_cell(work, victim, world, random.Random(f"{SEED} kill/{work}/{victim}")), "seed", SEED)  # noqa: S311
