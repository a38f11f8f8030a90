"""Triggers: what the triggerer watches while a task waits without a worker slot.

They only tell that something changed or that time is up; the task decides. Nothing here blocks the triggerer's loop.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from include.errors import NoriaError
from include.settings import PROJECT, Settings
from include.steps.warm_protocol import WAITING
from plugins.definitions import arrangement_of
from plugins.operators.environment import child_environment, connection_variables, source_variables
from plugins.operators.warm import fork_step

_CHECK_SECONDS = 120.0


class CheckFailed(Exception):
    """The look at the store failed; carries its own words."""


class _LookingTrigger(BaseTrigger):
    """Looks again and again, until there is nothing more to wait for or time is up; a look that fails is made again.

    :param until: End of the wait, ISO 8601 with offset.
    :param poll_seconds: Pause between two looks.
    """

    #: What the task is told if no look at the end of the wait has succeeded.
    unknown: ClassVar[Mapping[str, Any]] = {"arrived": False}

    def __init__(self, *, until: str, poll_seconds: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.until = until
        self.poll_seconds = poll_seconds

    @abstractmethod
    def _look(self) -> tuple[bool, dict[str, Any]]:
        """Whether the wait is over, and what the task is told; called in a thread.

        :raises CheckFailed: it cannot be seen now.
        """

    def _serialized(self, **arguments: Any) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, from which the triggerer makes it again."""
        common = {"until": self.until, "poll_seconds": self.poll_seconds}
        return f"{type(self).__module__}.{type(self).__qualname__}", {**arguments, **common}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until it is enough or time is up."""
        while True:
            enough, told = False, dict(self.unknown)
            try:
                enough, told = await asyncio.to_thread(self._look)
            except CheckFailed as problem:
                self.log.warning("%s", problem)
            if enough or datetime.now(UTC) >= datetime.fromisoformat(self.until):
                yield TriggerEvent(told)  # type: ignore[no-untyped-call]
                return
            await asyncio.sleep(self.poll_seconds)


class FileTrigger(_LookingTrigger):
    """Fires when a file exists, or when time is up.

    :param path: The file.
    """

    def __init__(self, path: str, until: str, poll_seconds: float = 10.0) -> None:
        super().__init__(until=until, poll_seconds=poll_seconds)
        self.path = path

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, from which the triggerer makes it again."""
        return self._serialized(path=self.path)

    def _look(self) -> tuple[bool, dict[str, Any]]:
        arrived = Path(self.path).exists()
        return arrived, {"arrived": arrived}


class SourceTrigger(_LookingTrigger):
    """Fires when a partition's data is in the source (a file in a bucket, rows in a database), or when time is up.

    :param model: Name of the model.
    :param key: The partition's key.
    """

    def __init__(self, model: str, key: str, until: str, poll_seconds: float = 30.0) -> None:
        super().__init__(until=until, poll_seconds=poll_seconds)
        self.model = model
        self.key = key

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, from which the triggerer makes it again."""
        return self._serialized(model=self.model, key=self.key)

    def _look(self) -> tuple[bool, dict[str, Any]]:
        arrived = not absent_partitions(self.model, [self.key])
        return arrived, {"arrived": arrived}


class PublishedPartitionsTrigger(_LookingTrigger):
    """Fires when all partitions that a training needs are published, or when time is up.

    :param model: Name of the model.
    :param as_of: The run's instant, ISO 8601 with offset.
    """

    unknown = {"missing": None}  # noqa: RUF012 - declared above

    def __init__(self, model: str, as_of: str, until: str, poll_seconds: float = 30.0) -> None:
        super().__init__(until=until, poll_seconds=poll_seconds)
        self.model = model
        self.as_of = as_of

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, from which the triggerer makes it again."""
        return self._serialized(model=self.model, as_of=self.as_of)

    def _look(self) -> tuple[bool, dict[str, Any]]:
        missing = missing_partitions(self.model, self.as_of)
        return not missing, {"missing": missing}


def missing_partitions(model: str, as_of: str) -> list[str]:
    """Keys of the partitions that a training needs and that are not published, seen by a process of its own.

    :raises CheckFailed: if that process fails.
    """
    found = _look(model, ["--as-of", as_of], f"Looking for {model}'s published partitions")
    return [str(key) for key in found["missing"]]


def absent_partitions(model: str, keys: Sequence[str]) -> list[str]:
    """Keys of the partitions whose data is not in the source, seen by a process of its own.

    :raises CheckFailed: if that process fails.
    """
    found = _look(model, ["--absent", *keys], f"Looking for {model}'s source data") if keys else {"absent": []}
    return [str(key) for key in found["absent"]]


def _source_variables(model: str) -> dict[str, str]:
    """How to reach the source's database, for which Airflow is asked only if there is one."""
    try:
        return source_variables(arrangement_of(Settings.from_environment(), model))
    except NoriaError as error:
        raise CheckFailed(str(error)) from None


def _look(model: str, question: Sequence[str], doing: str) -> dict[str, Any]:
    environment = child_environment()
    if "://" in environment.get("NORIA_STORE", ""):
        environment |= connection_variables()  # how to reach a bucket is a secret that Airflow keeps
    if "--absent" in question:
        environment |= _source_variables(model)
    try:
        code, said, complaint = _run(["--model", model, *question], environment)
    except subprocess.TimeoutExpired as error:
        raise CheckFailed(f"{doing} took over {_CHECK_SECONDS:.0f} s.") from error
    if code != 0:
        raise CheckFailed(f"{doing} failed: {complaint.strip()[-2000:]}")
    answer: dict[str, Any] = json.loads(said.splitlines()[-1])
    return answer


def _run(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
    """Exit code, output and errors of the look: forked by the warm parent if there is one, else started cold.

    :raises subprocess.TimeoutExpired: if it takes too long.
    """
    forked = fork_step(Settings.from_environment().home, arguments, environment, PROJECT, WAITING)
    if forked is not None:
        said = forked.communicate(_CHECK_SECONDS).decode(errors="replace")
        return forked.wait(_CHECK_SECONDS), said, said
    done = subprocess.run(
        [sys.executable, "-m", WAITING, *arguments],
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_CHECK_SECONDS,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr
