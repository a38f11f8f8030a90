"""A model that has lived, and its retirement."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from include.registry import retirement
from include.registry.retirement_state import Retirement
from include.settings import Settings
from include.stack.postgres import Postgres
from tests.conftest import copied_database
from tests.privacy.life import MODEL, Life, live
from tests.retirement.ends import WHO


@dataclass(frozen=True)
class Lived:
    """A life that was lived once, and how it was left.

    :param folder: where it was lived; the registry and MLflow hold paths in it.
    :param kept: a copy of the folder.
    :param database: name of its database.
    """

    life: Life
    folder: Path
    kept: Path
    database: str


@pytest.fixture(scope="session")
def lived(postgres: Postgres, schema_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    """From landing to scoring: a champion, logged requests, a day that was refused."""
    folder = tmp_path_factory.mktemp("lived")
    with copied_database(postgres, schema_template) as url, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # MLflow keeps a SQLite store's artifacts there
        settings = Settings.from_environment({"NORIA_HOME": str(folder / "home")})
        life = live(replace(settings, database_url=url, tracking_url=f"sqlite:///{folder}/mlflow.db"), folder)
        kept = shutil.copytree(folder, tmp_path_factory.mktemp("kept") / "lived", symlinks=True)
        yield Lived(life, folder, kept, url.split("?")[0].rsplit("/", 1)[1])


@pytest.fixture
def life(lived: Lived, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Life]:
    """The same life as it was left, in its own place, with databases of the test's own."""
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(lived.folder)
    shutil.copytree(lived.kept, lived.folder, symlinks=True)
    tracking = shutil.copy(lived.kept / "mlflow.db", tmp_path)
    with copied_database(postgres, lived.database) as url:
        settings = replace(lived.life.settings, database_url=url, tracking_url=f"sqlite:///{tracking}")
        yield replace(lived.life, settings=settings)


@pytest.fixture
def out(life: Life) -> Retirement:
    """It is out of production, and can be brought back."""
    return retirement.retire(life.settings, MODEL, **WHO).under_way
