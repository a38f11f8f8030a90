"""Loads versions in a few threads, the most needed first; each once at a time, and not at once again if it failed."""

from __future__ import annotations

import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import dataclass

from include.registry.deployed import DeployedVersion
from include.registry.mlflow_client import summary
from include.registry.signing import VersionUntrusted
from include.serving.artifacts import ArtifactCorrupt, ArtifactUnloadable
from include.serving.loaded import LoadedModel
from include.serving.models_cache import Key, key_of
from include.serving.table import Problem

NOW = -1
"""Priority of a version that a request waits for."""

_THREADS = 3
_LONGEST_PAUSE = 60.0
_PROBLEMS: dict[type[BaseException], Problem] = {
    ArtifactCorrupt: "corrupt",
    ArtifactUnloadable: "unloadable",
    VersionUntrusted: "untrusted",
}
_AWAY: Problem = "away"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """A load that failed.

    :param at: when it is tried again, on the monotonic clock.
    :param pause: seconds from the failure to that.
    """

    error: str
    problem: Problem
    at: float
    pause: float

    @property
    def waits(self) -> bool:
        """Whether it is too early to try again."""
        return time.monotonic() < self.at


class Failures:
    """What did not load, by version.

    :param pause: seconds until the first retry; doubles up to a minute.
    """

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._failures: dict[Key, Failure] = {}

    def get(self, key: Key) -> Failure | None:
        """Why a version is not in memory, if it was tried."""
        return self._failures.get(key)

    def add(self, key: Key, error: BaseException) -> Failure:
        """Remember a failure."""
        old = self._failures.get(key)
        pause = min(old.pause * 2, _LONGEST_PAUSE) if old else self._pause
        problem = next((problem for kind, problem in _PROBLEMS.items() if isinstance(error, kind)), _AWAY)
        failure = Failure(summary(error), problem, time.monotonic() + pause, pause)
        self._failures[key] = failure
        _log.warning("%s version %s is not in memory (next try in %.0f s): %s", *key[:2], pause, failure.error)
        return failure

    def forget(self, key: Key) -> None:
        """It loaded."""
        self._failures.pop(key, None)

    def keep_only(self, keys: Collection[Key]) -> None:
        """Forget all other versions."""
        self._failures = {key: failure for key, failure in self._failures.items() if key in keys}


class Loader:
    """A queue of versions to load and the threads that work on it.

    :param load: brings one version into memory, raises what it likes.
    """

    def __init__(self, load: Callable[[DeployedVersion], LoadedModel]) -> None:
        self._load = load
        self._queue: queue.PriorityQueue[tuple[int, int, DeployedVersion | None]] = queue.PriorityQueue()
        self._order = itertools.count()
        self._lock = threading.Lock()
        self._under_way: dict[Key, Future[LoadedModel]] = {}
        self._started: set[Key] = set()
        self._threads = 0

    def submit(self, version: DeployedVersion, priority: int) -> Future[LoadedModel]:
        """Load a version; joins a load of the same one that waits or is under way.

        :param priority: the smallest goes first.
        """
        key = key_of(version)
        with self._lock:
            future = self._under_way.get(key)
            known = future is not None
            if future is None:
                future = self._under_way[key] = Future()
            if not known or (priority == NOW and key not in self._started):
                self._queue.put((priority, next(self._order), version))
                self._start_thread()
        return future

    def pending(self) -> set[Key]:
        """Versions that wait or are being loaded."""
        with self._lock:
            return set(self._under_way)

    def stop(self) -> None:
        """End the threads; a load under way is abandoned, since nothing can interrupt a download."""
        for _ in range(self._threads):
            self._queue.put((NOW - 1, next(self._order), None))

    def _start_thread(self) -> None:
        if self._threads < _THREADS:
            self._threads += 1
            threading.Thread(target=self._work, name=f"load-{self._threads}", daemon=True).start()

    def _work(self) -> None:
        while (version := self._queue.get()[2]) is not None:
            key = key_of(version)
            with self._lock:
                future = self._under_way.get(key)
                if future is None or key in self._started:  # loaded already: it was in the queue twice
                    continue
                self._started.add(key)
            self._finish(key, future, version)

    def _finish(self, key: Key, future: Future[LoadedModel], version: DeployedVersion) -> None:
        model: LoadedModel | None = None
        problem: BaseException | None = None
        try:
            model = self._load(version)
        except BaseException as error:  # noqa: BLE001 - whoever waits hears of it, and the thread lives on
            problem = error
        with self._lock:
            self._started.discard(key)
            self._under_way.pop(key, None)
        if model is not None:
            future.set_result(model)
        else:
            future.set_exception(problem or RuntimeError("nothing was loaded"))
