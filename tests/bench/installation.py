"""A database, a tracking store and a home in a temporary folder: what steps need that run without a stack."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from include.registry.database import ensure_schema
from include.settings import PROJECT, Settings
from include.stack.postgres import Postgres


@dataclass(frozen=True)
class Installation:
    """Where everything is."""

    folder: Path
    settings: Settings
    postgres: Postgres


@contextmanager
def installation(purpose: str, place: Path | None = None) -> Iterator[Installation]:
    """A new one that is removed at the end, whatever happens.

    :param purpose: part of the names of its folders.
    :param place: where its folder is made.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"noria-{purpose}-", dir=place))
    postgres = Postgres.for_instance(folder, f"{purpose}-{uuid.uuid4().hex[:12]}")
    try:
        postgres.start()
        postgres.create_database("noria")
        settings = replace(
            Settings.from_environment({"NORIA_HOME": str(folder / "home")}),
            database_url=postgres.url("noria"),
            tracking_url=f"sqlite:///{folder}/mlflow.db",
        )
        ensure_schema(settings.database_url)
        yield Installation(folder, settings, postgres)
    finally:
        postgres.stop()
        postgres.delete()
        shutil.rmtree(folder, ignore_errors=True)


def variables_of(settings: Settings) -> dict[str, str]:
    """Variables of processes that work in it."""
    return {
        **os.environ,
        "NORIA_HOME": str(settings.home),
        "NORIA_STORE": str(settings.store),
        "NORIA_MODELS": str(settings.models),
        "NORIA_EXPECTATIONS": str(settings.expectations),
        "NORIA_DATABASE_URL": settings.database_url,
        "NORIA_TRACKING_URL": settings.tracking_url,
        "NORIA_SERVER_URL": settings.server_url,
        "PYTHONPATH": str(PROJECT),
        "OMP_WAIT_POLICY": "PASSIVE",
    }
