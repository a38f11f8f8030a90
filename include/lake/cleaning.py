"""Removes what dead attempts left behind: staging folders and spill files that nothing has touched for days."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from include.lake.paths import TABLES, checked_model, temporary_folder
from include.settings import Settings

KEPT_DAYS: Final = 7
_DAY_SECONDS: Final = 86_400


def clean_staging(settings: Settings, model: str, *, kept_days: float = KEPT_DAYS) -> list[Path]:
    """Remove the model's staging folders, and spill folders, last touched longer ago than this; return them.

    The age is that of the newest file: a run that still works in its folder keeps it.
    """
    oldest = time.time() - kept_days * _DAY_SECONDS
    removed = [folder for folder in _folders(settings, model) if _last_touched(folder) < oldest]
    for folder in removed:
        shutil.rmtree(folder, ignore_errors=True)
    return removed


def _folders(settings: Settings, model: str) -> Iterator[Path]:
    parents = [settings.store / "staging" / checked_model(model) / table for table in TABLES]
    for parent in [*parents, temporary_folder(settings)]:
        if parent.is_dir():
            yield from (folder for folder in parent.iterdir() if folder.is_dir() and not folder.is_symlink())


def _last_touched(folder: Path) -> float:
    newest = 0.0
    for path in (folder, *folder.rglob("*")):
        try:
            newest = max(newest, path.lstat().st_mtime)
        except FileNotFoundError:
            return time.time()  # somebody works here
    return newest
