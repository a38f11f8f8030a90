"""A model that has lived, and its retirement."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from include.registry import retirement
from include.registry.retirement_state import Retirement
from include.settings import Settings
from tests.privacy.life import MODEL, Life, live
from tests.retirement.ends import WHO


@pytest.fixture
def life(stored_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Life:
    """From landing to scoring: a champion, logged requests, a day that was refused."""
    monkeypatch.chdir(tmp_path)
    return live(replace(stored_settings, tracking_url=f"sqlite:///{tmp_path}/mlflow.db"), tmp_path)


@pytest.fixture
def out(life: Life) -> Retirement:
    """It is out of production, and can be brought back."""
    return retirement.retire(life.settings, MODEL, **WHO).under_way
