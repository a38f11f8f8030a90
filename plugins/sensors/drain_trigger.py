"""The trigger of a drain: what the triggerer watches while a model on its way out of production still answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from airflow.triggers.base import TriggerEvent

from include.settings import Settings
from include.steps.draining import Drain, look_at_drain
from plugins.sensors.registry_trigger import RegistryTrigger


class DrainTrigger(RegistryTrigger):
    """Fires when a model may leave production, or its retirement was undone.

    :param began: When the retirement began, ISO 8601 with offset.
    """

    def __init__(self, *, began: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.began = began

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, from which the triggerer makes it again."""
        arguments = {"model": self.model, "began": self.began, "poll_seconds": self.poll_seconds}
        return "plugins.sensors.drain_trigger.DrainTrigger", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until there is something to decide."""
        while True:
            found = await self._after_pause(self._drain)
            if found is not None and found.state != "waiting":
                yield TriggerEvent({"state": found.state})  # type: ignore[no-untyped-call]
                return

    def _drain(self, settings: Settings) -> Drain:
        return look_at_drain(settings, self.model, datetime.fromisoformat(self.began))
