"""What the tests of this room do to a model's end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sqlalchemy import text

from include.registry import database
from include.registry.retirement import read_retirement
from include.registry.retirement_state import Retirement
from include.settings import Settings
from tests.privacy.life import MODEL, Life

WHO = {"actor": "ana", "reason": "replaced by another model"}


def now(life: Life) -> Retirement:
    """How far the retirement has come."""
    found = read_retirement(life.settings, MODEL)
    assert found is not None
    return found


def let_time_pass(life: Life) -> Retirement:
    """As if ``retirement.keep`` were over."""
    with database.transaction(life.settings.database_url) as connection:
        connection.execute(text("UPDATE retirement SET restorable_until = clock_timestamp() - interval '1 second'"))
    return now(life)


def another_version(life: Life) -> int:
    """A version that never answers anybody."""
    training = life.definition.training.model_copy(update={"rounds": 12})
    return replace(life, definition=life.definition.model_copy(update={"training": training})).train()


def below(settings: Settings, folder: str) -> list[Path]:
    """The model's own files below a folder of the store."""
    return sorted(path for path in (settings.store / folder / MODEL).rglob("*") if path.is_file())
