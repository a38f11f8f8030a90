"""Versions without MLflow: rows as ``register_version`` leaves them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from include.registry import database
from include.registry.tables import model_version
from include.settings import Settings

FIRST = datetime(2013, 10, 1, tzinfo=UTC)


@pytest.fixture
def have_version(stored_settings: Settings) -> Callable[..., int]:
    """Put a version into the table: number n is as of n days after 1 October 2013 unless told otherwise."""

    def have(version: int, *, model: str = "m", as_of: datetime | None = None, status: str = "registered") -> int:
        with database.transaction(stored_settings.database_url) as connection:
            connection.execute(
                model_version.insert().values(
                    model=model,
                    version=version,
                    fingerprint=f"f{version}",
                    run_id=f"run{version}",
                    as_of=as_of or FIRST + timedelta(days=version),
                    artifact_digest=f"d{version}",
                    model_uri=f"models:/m-{version}",
                    status=status,
                    windows={},
                    decision={},
                )
            )
        return version

    return have
