"""Fixtures for tests of the server, imported by name where they are needed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from include.settings import Settings
from tests.serving.live import Logged, log_model


@pytest.fixture(scope="session")
def tracking_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture(scope="session")
def logged_models(tmp_path_factory: pytest.TempPathFactory, tracking_url: str) -> list[Logged]:
    """Three models in MLflow, seeds 1 to 3."""
    folder = tmp_path_factory.mktemp("models")
    settings = Settings.from_environment({"NORIA_HOME": str(folder), "NORIA_TRACKING_URL": tracking_url})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return [log_model(settings, folder, seed) for seed in (1, 2, 3)]


@pytest.fixture
def tracked(stored_settings: Settings, tracking_url: str) -> Settings:
    """Settings with a database of the test's own and the session's MLflow."""
    return replace(stored_settings, tracking_url=tracking_url)
