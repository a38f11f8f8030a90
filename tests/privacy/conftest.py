"""Fixtures of the room: see :mod:`tests.privacy.life`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from include.settings import Settings
from tests.privacy.life import HELD_ON, Life, begin, live


@pytest.fixture
def life(stored_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Life:
    """A model's whole life with a marker key in it."""
    monkeypatch.chdir(tmp_path)
    return live(replace(stored_settings, tracking_url=f"sqlite:///{tmp_path}/mlflow.db"), tmp_path)


@pytest.fixture
def small(stored_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Life:
    """Two published days with the marker, and requests; nothing is trained."""
    monkeypatch.chdir(tmp_path)
    life = begin(replace(stored_settings, tracking_url=f"sqlite:///{tmp_path}/mlflow.db"), tmp_path)
    for day in HELD_ON:
        life.data(day, day)
    life.serve()
    return life
