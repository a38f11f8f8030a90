"""Fixtures of the steps that judge: see :mod:`tests.steps.judging_world`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from include.settings import Settings
from include.spec.definition import Definition
from include.stack.postgres import Postgres
from include.steps.protocol import Document
from tests.steps.judging_world import World, land, publish, write_suites


@pytest.fixture(scope="session")
def shared_world(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[World]:
    """Published features of 36 days and an MLflow on SQLite."""
    home = tmp_path_factory.mktemp("world")
    postgres.create_database("steps_world")
    settings = replace(
        Settings.from_environment({"NORIA_HOME": str(home)}),
        database_url=postgres.url("steps_world"),
        tracking_url=f"sqlite:///{home / 'mlflow.db'}",
    )
    world = World(settings=write_suites(settings), trained={})
    land(settings, shift=3.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        publish(world, "2013-02-05")
        yield world
    postgres.drop_database("steps_world")


@pytest.fixture
def world(shared_world: World, database_url: str) -> World:
    """The world with nothing deployed."""
    return shared_world.in_database(database_url)


@pytest.fixture
def evaluate(world: World) -> Callable[..., Document]:
    """Evaluate a training as of a day."""

    def run(training: Document, day: int, definition: Definition | None = None) -> Document:
        return world.run("evaluate", day, {"training": training}, definition)

    return run
