"""What triggers that watch the registry have in common: they look every second or two, and wait for a lost database.

They ask in a thread, over SQLAlchemy alone, and only tell that something changed; the task decides. None fires at once:
Airflow fails a task that is resumed before the scheduler has heard that it waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from airflow.triggers.base import BaseTrigger

from include.errors import TryAgain
from include.settings import Settings
from plugins.operators.environment import project_settings

Found = TypeVar("Found")
POLL_SECONDS = 1.5


class RegistryTrigger(BaseTrigger):
    """Looks at a model in the registry again and again.

    :param model: Name of the model.
    :param poll_seconds: Pause between two looks.
    """

    def __init__(self, model: str, poll_seconds: float = POLL_SECONDS) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.model = model
        self.poll_seconds = poll_seconds
        self._settings: Settings | None = None

    async def _after_pause(self, look: Callable[[Settings], Found]) -> Found | None:
        """What a look finds after the pause; None while the database is away."""
        await asyncio.sleep(self.poll_seconds)
        try:
            return await asyncio.to_thread(self._now, look)
        except TryAgain as problem:
            self.log.warning("%s", problem)
            return None

    def _now(self, look: Callable[[Settings], Found]) -> Found:
        if self._settings is None:
            self._settings = project_settings()
        return look(self._settings)
