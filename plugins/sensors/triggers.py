"""Triggers: what the triggerer watches while a task waits without a worker slot.

They only tell that something changed or that time is up; the task decides. Nothing here blocks the triggerer's loop.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from include.settings import PROJECT
from plugins.operators.environment import child_environment, connection_variables

_CHECK_SECONDS = 120.0


class CheckFailed(Exception):
    """The look at the store failed; carries its own words."""


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


class SourceFileTrigger(BaseTrigger):
    """Fires when the source file of a partition is in the store's bucket, or when time is up.

    :param model: Name of the model.
    :param key: The partition's key.
    :param until: End of the wait, ISO 8601 with offset.
    :param poll_seconds: Pause between two looks.
    """

    def __init__(self, model: str, key: str, until: str, poll_seconds: float = 30.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.model = model
        self.key = key
        self.until = until
        self.poll_seconds = poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, from which the triggerer makes it again."""
        arguments = {"model": self.model, "key": self.key, "until": self.until, "poll_seconds": self.poll_seconds}
        return "plugins.sensors.triggers.SourceFileTrigger", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until the file is there or time is up; a look that fails is logged and made again."""
        while True:
            arrived = False
            try:
                arrived = not await asyncio.to_thread(absent_in_bucket, self.model, [self.key])
            except CheckFailed as problem:
                self.log.warning("%s", problem)
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
    found = _look(model, ["--as-of", as_of], f"Looking for {model}'s published partitions")
    return [str(key) for key in found["missing"]]


def absent_in_bucket(model: str, keys: Sequence[str]) -> list[str]:
    """Keys of the partitions whose source file is not in the store's bucket, seen by a process of its own.

    :raises CheckFailed: if that process fails.
    """
    found = _look(model, ["--absent", *keys], f"Looking for {model}'s source files") if keys else {"absent": []}
    return [str(key) for key in found["absent"]]


def _look(model: str, question: Sequence[str], doing: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "include.steps.waiting", "--model", model, *question]
    environment = child_environment()
    if "://" in environment.get("NORIA_STORE", ""):
        environment |= connection_variables()  # how to reach a bucket is a secret that Airflow keeps
    try:
        done = subprocess.run(
            command,
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_CHECK_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CheckFailed(f"{doing} took over {_CHECK_SECONDS:.0f} s.") from error
    if done.returncode != 0:
        raise CheckFailed(f"{doing} failed: {done.stderr.strip()[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _is_over(until: str) -> bool:
    return datetime.now(UTC) >= datetime.fromisoformat(until)
