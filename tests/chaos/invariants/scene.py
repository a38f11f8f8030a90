"""What the checker looks at, and how it reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from include.settings import Settings


@dataclass(frozen=True)
class Answer:
    """What a caller was told with a 2xx: one row, one prediction."""

    request_id: str
    version: int
    prediction: float


@dataclass(frozen=True)
class Scene:
    """One model's world.

    :param source: folder of its landed files ``<partition>.parquet``; None if its source is something else.
    :param answers: what callers were told.
    :param known: what an earlier check of the same world has found to be so and cannot change: spares work.
    """

    settings: Settings
    model: str
    source: Path | None = None
    answers: Sequence[Answer] = ()
    known: dict[str, Any] = field(default_factory=dict)

    def rows(self, statement: str, **parameters: object) -> list[dict[str, Any]]:
        """Rows of Noria's database; ``:m`` is the model."""
        given = {"m": self.model, **parameters} if ":m" in statement else parameters
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(sa.text(statement), given).mappings()]

    @cached_property
    def _engine(self) -> sa.Engine:
        return sa.create_engine(self.settings.database_url, poolclass=sa.NullPool)

    def table(self, name: str) -> Path:
        """Folder of one of its Delta tables."""
        return self.settings.store / "lake" / self.model / name
