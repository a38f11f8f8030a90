"""A world with keys: settings that sign, settings that only check, and hands that change rows behind their back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import text

from include.registry import database
from include.registry.signing_keys import PRIVATE_FILE, PUBLIC_FILE, make_pair, private_key
from include.registry.versions import read_version, set_signature
from include.settings import Settings


def signing(settings: Settings, folder: Path) -> Settings:
    """Settings with a new pair of keys, or with the one that is in the folder."""
    if not folder.exists():
        make_pair(folder)
    return replace(settings, signing_key=str(folder / PRIVATE_FILE), trusted_keys=str(folder / PUBLIC_FILE))


def checking(settings: Settings) -> Settings:
    """The same without the private key, as the server and most steps have it."""
    return replace(settings, signing_key=None)


def sign_version(settings: Settings, model: str, version: int) -> None:
    """Sign a row as it is, whatever its artifact is."""
    key = private_key(settings)
    assert key is not None
    with database.transaction(settings.database_url) as connection:
        set_signature(connection, read_version(connection, model, version), key)


def tamper(settings: Settings, change: str, model: str, version: int, **values: Any) -> None:
    """Change a version's row: ``change`` is what follows SET."""
    with database.transaction(settings.database_url) as connection:
        statement = text(f"UPDATE model_version SET {change} WHERE model = :model AND version = :version")
        assert connection.execute(statement, {"model": model, "version": version, **values}).rowcount == 1
