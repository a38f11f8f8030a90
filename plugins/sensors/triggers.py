"""Triggers: what the triggerer watches while a task waits without a worker slot.

They only tell that something changed or that time is up; the task decides. Nothing here blocks the triggerer's loop.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from include.settings import PROJECT
from plugins.operators.environment import child_environment

_CHECK_SECONDS = 120.0


class CheckFailed(Exception):
    """The look at the published partitions failed; carries its own words."""


class FileTrigger(BaseTrigger):
    """Fires when a file exists, or when time is up.

    :param path: The file.
    :param until: End of the wait, ISO 8601 with offset.
    :param poll_seconds: Pause between two looks.
    """

    def __init__(self, path: str, until: str, poll_seconds: float = 10.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.path = path
        self.until = until
        self.poll_seconds = poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, from which the triggerer makes it again."""
        return (
            "plugins.sensors.triggers.FileTrigger",
            {"path": self.path, "until": self.until, "poll_seconds": self.poll_seconds},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until the file is there or time is up."""
        while True:
            arrived = await asyncio.to_thread(Path(self.path).exists)
            if arrived or _is_over(self.until):
                yield TriggerEvent({"arrived": arrived})  # type: ignore[no-untyped-call]
                return
            await asyncio.sleep(self.poll_seconds)


class PublishedPartitionsTrigger(BaseTrigger):
    """Fires when all partitions that a training needs are published, or when time is up.

    :param model: Name of the model.
    :param as_of: The run's instant, ISO 8601 with offset.
    :param until: End of the wait, ISO 8601 with offset.
    :param poll_seconds: Pause between two looks.
    """

    def __init__(self, model: str, as_of: str, until: str, poll_seconds: float = 30.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.model = model
        self.as_of = as_of
        self.until = until
        self.poll_seconds = poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, from which the triggerer makes it again."""
        arguments = {
            "model": self.model,
            "as_of": self.as_of,
            "until": self.until,
            "poll_seconds": self.poll_seconds,
        }
        return "plugins.sensors.triggers.PublishedPartitionsTrigger", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until nothing is missing or time is up; a look that fails is logged and made again."""
        while True:
            missing: list[str] | None = None
            try:
                missing = await asyncio.to_thread(missing_partitions, self.model, self.as_of)
            except CheckFailed as problem:
                self.log.warning("%s", problem)
            if missing == [] or _is_over(self.until):
                yield TriggerEvent({"missing": missing})  # type: ignore[no-untyped-call]
                return
            await asyncio.sleep(self.poll_seconds)


def missing_partitions(model: str, as_of: str) -> list[str]:
    """Keys of the partitions that a training needs and that are not published, seen by a process of its own.

    :raises CheckFailed: if that process fails.
    """
    command = [sys.executable, "-m", "include.steps.waiting", "--model", model, "--as-of", as_of]
    try:
        done = subprocess.run(
            command,
            cwd=PROJECT,
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_CHECK_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CheckFailed(f"Looking for {model}'s published partitions took over {_CHECK_SECONDS:.0f} s.") from error
    if done.returncode != 0:
        raise CheckFailed(f"Looking for {model}'s published partitions failed: {done.stderr.strip()[-2000:]}")
    return [str(key) for key in json.loads(done.stdout)["missing"]]


def _is_over(until: str) -> bool:
    return datetime.now(UTC) >= datetime.fromisoformat(until)
