"""Fixtures of the room: see :mod:`tests.privacy.life`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from include.settings import Settings
from include.stack.postgres import Postgres
from tests.conftest import copied_database
from tests.privacy.life import HELD_ON, Life, begin, live


@pytest.fixture
def life(stored_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Life:
    """A model's whole life with a marker key in it."""
    monkeypatch.chdir(tmp_path)
    return live(replace(stored_settings, tracking_url=f"sqlite:///{tmp_path}/mlflow.db"), tmp_path)


@pytest.fixture(scope="session")
def shared_small(postgres: Postgres, schema_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    """Two published days with the marker, and requests; nothing is trained. Tests work on copies."""
    folder = tmp_path_factory.mktemp("small")
    with copied_database(postgres, schema_template) as url, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        settings = Settings.from_environment({"NORIA_HOME": str(folder / "home")})
        settings = replace(settings, database_url=url, tracking_url=f"sqlite:///{folder}/mlflow.db")
        life = begin(settings, folder)
        for day in HELD_ON:
            life.data(day, day)
        life.serve()
        yield life


@pytest.fixture
def small(shared_small: Life, postgres: Postgres, tmp_path: Path) -> Iterator[Life]:
    """A copy of it."""
    shutil.copytree(shared_small.settings.home, tmp_path / "home")
    home = tmp_path / "home"
    template = shared_small.settings.database_url.split("?")[0].rsplit("/", 1)[1]
    with copied_database(postgres, template) as url:
        settings = replace(shared_small.settings, home=home, store=home / "store", database_url=url)
        yield replace(shared_small, settings=settings)
