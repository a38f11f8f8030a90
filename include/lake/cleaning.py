"""Removes what dead attempts left behind: staging folders and spill files that nothing has touched for days."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from include.lake.paths import TABLES, checked_model, temporary_folder
from include.lake.store import FolderStore, Store, store_of
from include.settings import Settings

KEPT_DAYS: Final = 7
_DAY_SECONDS: Final = 86_400


def clean_staging(settings: Settings, model: str, *, kept_days: float = KEPT_DAYS) -> list[Path]:
    """Remove the model's staging folders, and spill folders, last touched longer ago than this; return them.

    The age is that of the newest file: a run that still works in its folder keeps it.
    """
    oldest = time.time() - kept_days * _DAY_SECONDS
    removed = []
    for store, folder in _folders(settings, model):
        if store.touched(folder) < oldest:
            store.remove_folder(folder)
            removed.append(folder)
    return removed


def _folders(settings: Settings, model: str) -> Iterator[tuple[Store, Path]]:
    store = store_of(settings)
    for table in TABLES:
        for folder in store.folders(settings.store / "staging" / checked_model(model) / table):
            yield store, folder
    spilled = FolderStore(settings.store)  # DuckDB spills to this machine's disk, wherever the store is
    for folder in spilled.folders(temporary_folder(settings)):
        yield spilled, folder
