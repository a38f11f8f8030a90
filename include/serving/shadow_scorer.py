"""Scores requests with the version that did not answer them, one row at a time, timed beside the champion.

Runs in a process of its own, because a challenger may hang or bring its process down: the background process then kills
or replaces it, and notes against whom.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
import threading
import time
from collections.abc import Collection, Mapping
from typing import Any, Final

import orjson

from include.hashing import Hashing
from include.registry.deployed import DeployedVersion, ModelState
from include.serving import metrics
from include.serving.board import Board
from include.serving.follower import Follower
from include.serving.limits import Limits
from include.serving.loaded import LoadedModel
from include.serving.models_cache import Key, key_of
from include.serving.past import PastLookup
from include.serving.protocols.calls import Call, Row, rows_of
from include.serving.request_log.records import problem
from include.serving.request_log.segments import log_folder
from include.serving.request_log.writer import RequestLog
from include.serving.shadow_inbox import Inbox
from include.serving.shared_state import SharedState
from include.serving.source import RegistrySource
from include.serving.stopwatch import Stopwatch
from include.serving.table import CHALLENGING, Served
from include.settings import Settings

PAIRED_EVERY: Final = 4
"""Of the rows that the challenger scores, each so manieth is scored by the champion too, for its latency."""
_IDLE: Final = 0.25
_SHOW_SECONDS: Final = 0.5
_log = logging.getLogger(__name__)


def both_sides(state: ModelState) -> list[DeployedVersion]:
    """Champion and challenger of a model whose requests are scored by both; of other models nothing is held."""
    challenger = next((state.roles[role] for role in CHALLENGING if role in state.roles), None)
    champion = state.roles.get("champion")
    if challenger is None or champion is None or challenger.role == "candidate" or state.retired_at is not None:
        return []
    return [challenger, champion]


class Scorer:
    """Scores offers one row at a time and logs what comes of it; made and used by one thread.

    :param log: where scores go.
    :param board: says which row is being scored.
    :param condemned: versions (``model:version``) that have hung or killed this process too often to be tried again.
    :param past: fills the columns of the past that the version that answered did not need.
    """

    def __init__(
        self, log: RequestLog, board: Board, condemned: Collection[str] = (), past: PastLookup | None = None
    ) -> None:
        self._past = past
        self._log = log
        self._board = board
        self._condemned = frozenset(condemned)
        self._warm: set[Key] = set()
        self._watch = Stopwatch()
        self._rows: dict[str, int] = {}
        self.scored: dict[str, int] = {}
        """Rows scored, by model."""
        self.skipped: dict[str, int] = {}
        """Requests that the other version cannot score: it is not in memory, or asks for a column that they lack."""

    def score(self, served: Served | None, model: str, body: bytes) -> None:
        """Score one offer with the version that did not answer it."""
        offer = orjson.loads(body)
        pair = None if served is None else _pair(served, offer["answered"])
        if served is None or pair is None:
            self.skipped[model] = self.skipped.get(model, 0) + 1
            return
        scorer, champion = pair
        version = scorer.deployed.version
        base = {
            "id": offer["id"], "model": model, "version": version, "role": served.role_of(version),
            "revision": served.state.revision, "at": offer["at"], "deployment": served.deployment,
            "count": offer["count"],
        }  # fmt: skip
        if scorer.classes:
            base["classes"] = list(scorer.classes)
        rows = offer["rows"] if "rows" in offer else rows_of(offer["columns"], _length(offer["columns"]))
        step = offer.get("step", 1)
        wanted = challenger.asks_for if (challenger := served.challenger) is not None else frozenset()
        wanted |= {name for group in scorer.history for name in group.columns}
        wanted -= self._past.gives(scorer) if self._past is not None else frozenset()
        if not all(wanted <= row.keys() for row in rows):  # callers that do not send a new column yet
            self.skipped[model] = self.skipped.get(model, 0) + 1
            return
        scores = [self._one(base, number * step, row, scorer, champion) for number, row in enumerate(rows)]
        self.scored[model] = self.scored.get(model, 0) + len(scores)
        self._log.shadow({**base, "scores": scores})

    def _one(
        self, base: Mapping[str, Any], number: int, row: Row, scorer: LoadedModel, champion: LoadedModel | None
    ) -> list[Any]:
        """``[row, prediction, latency, champion's latency, error]``; latencies in microseconds."""
        if self._is_condemned(scorer):
            return [number, None, None, None, "not scored any more: it has hung or killed the scoring process"]
        task = {**base, "row": number}
        count = self._rows[base["model"]] = self._rows.get(base["model"], 0) + 1
        paired = champion is not None and count % PAIRED_EVERY == 0 and not self._is_condemned(champion)
        champion_us = None
        if paired and champion is not None and count % (2 * PAIRED_EVERY):  # in turn the first and the second
            champion_us = self._timed(champion, row, task)[1]
        prediction, latency_us, error = self._timed(scorer, row, task)
        if paired and champion is not None and champion_us is None:
            champion_us = self._timed(champion, row, task)[1]
        return [number, prediction, latency_us, champion_us, error]

    def _is_condemned(self, model: LoadedModel) -> bool:
        return f"{model.deployed.model}:{model.deployed.version}" in self._condemned

    def _timed(self, model: LoadedModel, row: Row, task: Mapping[str, Any]) -> tuple[Any, int | None, str | None]:
        self._board.begin({**task, "scoring": model.deployed.version})
        call = Call(1, rows=[{name: value for name, value in row.items() if name in model.fields}])
        try:
            if self._past is not None:
                call, _ = self._past.fill(call, model)
            if key_of(model.deployed) not in self._warm:  # the first prediction pays for what all share
                self._warm.add(key_of(model.deployed))
                model.predict(call)
            self._watch.start()
            [prediction] = model.predict(call)
            took = self._watch.microseconds()
            said = [float(number) for number in prediction] if model.classes else float(prediction)
        except Exception as error:  # noqa: BLE001 - whatever a version raises is evidence against it
            return None, None, problem(f"{type(error).__name__}: {error}", model.shape)
        numbers = said if isinstance(said, list) else [said]
        whole = len(numbers) == (len(model.classes) or 1) and all(map(math.isfinite, numbers))
        return (said, took, None) if whole else (None, took, f"its prediction is {said}"[:500])


def _pair(served: Served, answered: int) -> tuple[LoadedModel, LoadedModel | None] | None:
    """Who scores, and the champion for comparison if the challenger does; None if that is not possible now."""
    challenger, champion = served.challenger, served.loaded
    if challenger is None or challenger.loaded is None or not challenger.paired or champion is None:
        return None
    if answered == champion.deployed.version:
        return challenger.loaded, champion
    return (champion, None) if answered == challenger.version else None


def _length(columns: Mapping[str, Any]) -> int:
    return len(next(iter(columns.values()), ()))


def run_scorer(
    settings: Settings,
    limits: Limits,
    listener: socket.socket,
    board: Board,
    condemned: Collection[str],
    shared: SharedState | None,
) -> None:
    """Score until SIGTERM. The whole life of a process that was just forked."""
    _only_when_idle()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    board.rest()
    board.publish({})
    log = RequestLog(log_folder(settings.home), hashing=Hashing.of(settings))
    source = RegistrySource(settings, shared, leads=False)
    follower = Follower(settings, limits, wanted=both_sides, remembers=False, source=source)
    past = PastLookup(settings, limits.history_seconds)
    scorer, inbox = Scorer(log, board, condemned, past), Inbox(listener)
    follower.start()
    past.start(lambda: follower.table.loaded)
    inbox.start()
    showing = threading.Thread(target=_show_on, args=(board, scorer, inbox, ended), name="show", daemon=True)
    showing.start()
    while not ended.is_set():
        _take_one(inbox, scorer, follower)
        board.rest()
    inbox.stop()
    showing.join(timeout=5)
    log.close()
    past.stop()
    follower.stop()


def _only_when_idle() -> None:
    """Take a processor only when nobody else wants it: at a mere nice 19 a worker that wakes would wait for a slice."""
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _show_on(board: Board, scorer: Scorer, inbox: Inbox, ended: threading.Event) -> None:
    """Show counts while a version takes its time too: what waits is lost if that version is killed."""
    while not ended.wait(_SHOW_SECONDS):
        _show(board, scorer, inbox)
    _show(board, scorer, inbox)


def _show(board: Board, scorer: Scorer, inbox: Inbox) -> None:
    """Counts for the parent, and for Prometheus what is new."""
    before = board.counts()
    depths = inbox.depths()
    board.publish({"scored": scorer.scored, "skipped": scorer.skipped, "dropped": inbox.dropped, "depth": depths})
    for model, depth in depths.items():
        metrics.SHADOW_DEPTH.labels(model).set(depth)
    for counter, name, counts in (
        (metrics.SHADOW_SCORED, "scored", scorer.scored),
        (metrics.SHADOW_SKIPPED, "skipped", scorer.skipped),
        (metrics.SHADOW_DROPPED, "dropped", inbox.dropped),
    ):
        for model, count in dict(counts).items():
            counter.labels(model).inc(count - before.get(name, {}).get(model, 0))


def _take_one(inbox: Inbox, scorer: Scorer, follower: Follower) -> None:
    taken = inbox.take(_IDLE)
    if taken is None:
        return
    model, body = taken
    began = time.monotonic()
    try:
        scorer.score(follower.table.models.get(model), model, body)
    except (KeyError, ValueError, TypeError) as error:
        _log.error("an offer for %s was not understood: %s", model, error)
    inbox.spend(model, time.monotonic() - began)
