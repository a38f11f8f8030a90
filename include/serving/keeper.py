"""The work beside the requests that touches tables: compaction, judging stages, MLflow's aliases, safety of the log.

One process does it, in a few threads with their own pace; what fails is logged and tried again, and nothing of it can
hold a request up. It follows the deployment state only to know which models have a challenger.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson

from include.errors import NoriaError
from include.registry.deployed import ModelState
from include.registry.outbox import deliver
from include.registry.roles import CHALLENGER_ROLES
from include.serving import metrics
from include.serving.board import Board
from include.serving.memory import StateFile
from include.serving.request_log import segments
from include.serving.shadow_scorer import both_sides
from include.serving.shared_state import SharedState, reader
from include.settings import Settings

BUSY_SECONDS: Final = 2.0
"""Pause between two compactions, and between two judgements, while a model has a challenger or is on its way out."""
IDLE_SECONDS: Final = 10.0
_ALIASES_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 1.0
_SYNC_SECONDS: Final = 1.0
_HOUSE_SECONDS: Final = 3600.0
_STATUS: Final = "background.json"
_log = logging.getLogger(__name__)


def status_file(home: Path) -> Path:
    """Where the background process says how it is, for the server's own pages."""
    return home / "serving" / _STATUS


class Keeper:
    """The loops of one process.

    :param settings: database, home, store, expectations.
    :param board: where the parent reads whether a scorer is needed.
    :param scorer: the scorer's board, for the status file.
    :param shared: what the server's processes share; None without a server.
    """

    def __init__(self, settings: Settings, board: Board, scorer: Board, shared: SharedState | None = None) -> None:
        self._settings = settings
        self._board = board
        self._scorer = scorer
        self._reader = reader(settings, shared, leads=False)
        self._memory = StateFile(settings.home / "serving")
        self._ended = threading.Event()
        self._states: dict[str, ModelState] = {}
        self._log_numbers: dict[str, Any] = {}
        self._errors: dict[str, str] = {}
        self._synced: dict[str, int] = {}

    def run(self) -> None:
        """Work until SIGTERM; then compact once more and return."""
        signal.signal(signal.SIGTERM, lambda *_: self._ended.set())
        loops = [
            self._loop("sync", self._sync, lambda: _SYNC_SECONDS),
            self._loop("assess", self._assess, lambda: BUSY_SECONDS if self._challenged() else _LOOK_SECONDS),
            self._loop("aliases", partial(deliver, self._settings), lambda: _ALIASES_SECONDS),
            self._loop(
                "compact",
                self._compactor(),
                lambda: BUSY_SECONDS if self._challenged() or self._draining() else IDLE_SECONDS,
            ),
        ]
        while not self._ended.is_set():
            self._attempt("follow", self._follow)
            self._attempt("status", self._tell)
            self._ended.wait(_LOOK_SECONDS)
        for loop in loops:
            loop.join(timeout=10)
        self._reader.close()

    def _loop(self, name: str, work: Callable[[], object], pause: Callable[[], float]) -> threading.Thread:
        def life() -> None:
            while not self._ended.is_set():
                self._attempt(name, work)
                self._ended.wait(pause())
            if name == "compact":  # what the workers wrote last
                self._attempt(name, work)

        thread = threading.Thread(target=life, name=name, daemon=True)
        thread.start()
        return thread

    def _attempt(self, name: str, work: Callable[[], object]) -> None:
        """Do something that must not end the process; an error is said once, until it is another one or gone."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the loops outlive everything
            words = f"{type(error).__name__}: {error}"
            if self._errors.get(name) != words:
                _log.error("%s failed: %s", name, words, exc_info=None if isinstance(error, NoriaError) else error)
            self._errors[name] = words
            metrics.BACKGROUND_FAILING.labels(name).set(1)
        else:
            self._forget_error(name)

    def _forget_error(self, name: str) -> None:
        """It is gone, or what failed is not to be done any more."""
        if self._errors.pop(name, None) is not None:
            metrics.BACKGROUND_FAILING.labels(name).set(0)

    # ---- what it knows ----------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        try:
            self._states = self._reader.read()
        except NoriaError:
            if not self._states:
                self._states = self._memory.read() or {}
            raise
        finally:
            self._board.publish({"scorer": any(both_sides(state) for state in self._states.values())})

    def _challenged(self) -> list[str]:
        """Models with a challenger."""
        roles = set(CHALLENGER_ROLES)
        return [model for model, state in self._states.items() if roles & state.roles.keys()]

    def _draining(self) -> list[str]:
        """Models on their way out of production that still answer."""
        return [model for model, state in self._states.items() if state.retiring_until is not None]

    # ---- the loops --------------------------------------------------------------------------------------------------

    def _sync(self) -> None:
        """Bring what the workers wrote to the disk: a power loss takes about a second of it."""
        folder = segments.log_folder(self._settings.home)
        sizes = {}
        for segment in segments.list_segments(folder):
            try:
                size = os.stat(segment.path).st_size
                if self._synced.get(segment.name) != size:
                    segments.sync(segment)
                sizes[segment.name] = size
            except FileNotFoundError:
                continue
        if sizes.keys() - self._synced.keys():
            segments.to_disk(folder)
        self._synced = sizes

    def _assess(self) -> None:
        challenged = self._challenged()
        for name in list(self._errors):  # other loops change it meanwhile
            if name.startswith("assess ") and name.removeprefix("assess ") not in challenged:
                self._forget_error(name)
        if not challenged:
            return
        from include.serving.assessment import assess

        for model in challenged:
            self._attempt(f"assess {model}", partial(assess, self._settings, model))

    def _compactor(self) -> Callable[[], None]:
        compactor: Any = None
        watch: Any = None
        kept = time.monotonic() - _HOUSE_SECONDS + 60

        def work() -> None:
            nonlocal compactor, watch, kept
            from include.serving.request_log.compaction import Compactor

            if compactor is None:
                compactor = Compactor(self._settings)
            began, draining = datetime.now(UTC), self._draining()
            if not draining:
                self._forget_error("report on requests")
            try:
                if compactor.run():
                    if draining:
                        from include.serving.drain_watch import DrainWatch

                        watch = watch or DrainWatch(self._settings)
                        self._attempt("report on requests", partial(watch.report, draining, compactor, began))
                    compactor.join_small_files()
                    if time.monotonic() - kept >= _HOUSE_SECONDS:
                        kept = time.monotonic()
                        compactor.keep_house()
            finally:  # a log that cannot be compacted lags: that is when the numbers are looked at
                self._log_numbers = compactor.to_document()
                metrics.LOG_LAG.set(compactor.lag_seconds())
            self._attempt("record refusals", partial(_record_refusals, self._settings))

        return work

    # ---- what it says -----------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        """Write the status file whole."""
        shadow: Mapping[str, Any] = self._scorer.counts()
        document = {
            "at": datetime.now(UTC).isoformat(),
            "pid": os.getpid(),
            "challenged": self._challenged(),
            "log": self._log_numbers,
            "shadow": shadow,
            "errors": dict(self._errors),
        }
        path = status_file(self._settings.home)
        beside = path.with_name(f".{path.name}-{os.getpid()}")
        beside.write_bytes(orjson.dumps(document, default=str))
        os.replace(beside, path)


def _record_refusals(settings: Settings) -> None:
    from include.serving.request_log.gate import record_refusals

    record_refusals(settings)
