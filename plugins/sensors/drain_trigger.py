"""The trigger of a drain: what the triggerer watches while a model on its way out of production still answers.

It asks the registry every second or two, in a thread; a database that is away is waited for. It only tells that
something changed; the task decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from include.errors import TryAgain
from include.settings import Settings
from include.steps.draining import Drain, look_at_drain
from plugins.operators.environment import project_settings

POLL_SECONDS = 1.5


class DrainTrigger(BaseTrigger):
    """Fires when a model may leave production, or its retirement was undone.

    :param model: Name of the model.
    :param began: When the retirement began, ISO 8601 with offset.
    :param poll_seconds: Pause between two looks.
    """

    def __init__(self, model: str, began: str, poll_seconds: float = POLL_SECONDS) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.model = model
        self.began = began
        self.poll_seconds = poll_seconds
        self._settings: Settings | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, from which the triggerer makes it again."""
        arguments = {"model": self.model, "began": self.began, "poll_seconds": self.poll_seconds}
        return "plugins.sensors.drain_trigger.DrainTrigger", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until there is something to decide; never at once, since the task must be known to wait by then."""
        while True:
            await asyncio.sleep(self.poll_seconds)
            try:
                found = await asyncio.to_thread(self._look)
            except TryAgain as problem:
                self.log.warning("%s", problem)
                continue
            if found.state != "waiting":
                yield TriggerEvent({"state": found.state})  # type: ignore[no-untyped-call]
                return

    def _look(self) -> Drain:
        if self._settings is None:
            self._settings = project_settings()
        return look_at_drain(self._settings, self.model, datetime.fromisoformat(self.began))
