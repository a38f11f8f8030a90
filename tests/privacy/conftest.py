"""Fixtures of the room: see :mod:`tests.privacy.life`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from include.settings import Settings
from tests.privacy.life import Life, live


@pytest.fixture
def life(stored_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Life:
    """A model's whole life with a marker key in it."""
    monkeypatch.chdir(tmp_path)
    return live(replace(stored_settings, tracking_url=f"sqlite:///{tmp_path}/mlflow.db"), tmp_path)
