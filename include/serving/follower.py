"""Follows the deployment state in a thread of its own and loads what it wants, never in a request's way."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime

from include.errors import NoriaError
from include.registry.deployed import DeployedVersion, ModelState
from include.registry.mlflow_client import summary
from include.serving.artifacts import ArtifactAway
from include.serving.limits import Limits
from include.serving.loaded import LoadedModel
from include.serving.loading import NOW, Failures, Loader
from include.serving.memory import StateFile
from include.serving.models_cache import SPARE, Key, ModelsCache, key_of
from include.serving.source import Source
from include.serving.table import CHALLENGING, Held, Served, Table
from include.settings import Settings

Wanted = Callable[[ModelState], list[DeployedVersion]]
"""Which versions of a model a process holds in memory, the most needed first."""

_log = logging.getLogger(__name__)


def all_roles(state: ModelState) -> list[DeployedVersion]:
    """Champion, challenger, previous: in memory all three, so that a rollback answers at once."""
    order = ("champion", *CHALLENGING, "previous")
    return [state.roles[role] for role in order if role in state.roles]


class Follower:
    """Keeps :attr:`table` at the deployment state, as far as database, MLflow and artifacts allow.

    A new version is loaded first and then put in place of the old one in one assignment: requests under way keep the
    version that they began with. Whatever is away or broken leaves the version that answers in its place, and a broken
    challenger concerns nobody but itself.

    :param settings: whose home it is.
    :param limits: pace, and how many versions fit in memory.
    :param source: where state and artifacts come from.
    :param wanted: which versions are held, in the order in which they are loaded.
    :param remembers: whether the state is kept on disk for a start without database; one process in a home suffices.
    """

    def __init__(
        self,
        settings: Settings,
        limits: Limits,
        *,
        source: Source,
        wanted: Wanted = all_roles,
        remembers: bool = True,
    ) -> None:
        self._source = source
        self._limits = limits
        self._wanted = wanted
        self._remembers = remembers
        self._file = StateFile(settings.home / "serving")
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._memory = ModelsCache(limits.models)
        self._loader = Loader(self._load)
        self._failures = Failures(limits.retry_seconds)
        self._answering: dict[str, LoadedModel] = {}
        self._followed: dict[str, ModelState] | None = None
        self._read_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self.table = Table()

    def start(self) -> None:
        """Begin to follow; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Stop following; a load under way is abandoned."""
        self._stop.set()
        self._loader.stop()
        self._thread.join(timeout=self._limits.poll_seconds + 1)
        self._source.close()

    @property
    def state_age(self) -> float | None:
        """Seconds since the state was last read from the database; None if this process never did."""
        return None if self._read_at is None else time.monotonic() - self._read_at

    @property
    def loaded_count(self) -> int:
        """How many versions are in memory."""
        return len(self._memory)

    def demand(self, version: DeployedVersion) -> Future[LoadedModel]:
        """Load a version for a request that waits for it.

        One that failed is not tried again before its pause is over, nor by a request if there is room for it: then it
        is tried again anyway, and nobody has to wait.
        """
        failure = self._failures.get(key_of(version))
        if failure is not None and (failure.waits or self._memory.room() > 0):
            refused: Future[LoadedModel] = Future()
            refused.set_exception(ArtifactAway(failure.error))
            return refused
        return self._loader.submit(version, NOW)

    # ---- the state --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - the follower must outlive everything
                _log.exception("the deployment state could not be followed")
                self._away(f"the deployment state could not be followed: {summary(error)}")
            self._stop.wait(self._limits.poll_seconds)

    def _look(self) -> None:
        try:
            states = self._source.states()
        except NoriaError as error:
            self._away(str(error))
            if not self.table.known and (kept := self._file.read()) is not None:
                self._follow(kept)
        else:
            self._read_at = time.monotonic()
            changed = self._follow(states)
            if self.table.error is not None:
                with self._lock:
                    self.table = replace(self.table, error=None, error_since=None)
            if changed and self._remembers:
                self._keep(states)
        self._load_wanted([served.state for served in self.table.models.values()])

    def _keep(self, states: dict[str, ModelState]) -> None:
        try:
            self._file.write(states)
        except OSError as error:
            _log.warning("the deployment state cannot be kept on disk: %s", error)

    def _away(self, problem: str) -> None:
        with self._lock:
            since = self.table.error_since or datetime.now(UTC)
            if self.table.error is None:
                _log.warning("serving what is known: %s", problem)
            self.table = replace(self.table, error=problem, error_since=since)

    def _follow(self, states: dict[str, ModelState]) -> bool:
        """Take over the states; versions that are in memory already answer at once. Returns whether any changed."""
        with self._lock:
            if self._followed is states:
                return False
            old = {name: served.state for name, served in self.table.models.items()}
            if self.table.known and old == states:
                self._followed = states
                return False
            wanted = {key_of(version) for state in states.values() for version in state.roles.values()}
            self._answering = {name: model for name, model in self._answering.items() if name in states}
            self._failures.keep_only(wanted)
            self._load_wanted(states.values())
            models = {name: self._served(state) for name, state in states.items()}
            self.table = replace(self.table, models=models, known=True)
            answering = {key_of(model.deployed) for model in self._answering.values()}
            self._memory.keep_only(wanted | answering)
            self._followed = states
        return True

    def _served(self, state: ModelState) -> Served:
        """One model as memory allows; the version that answers changes only for the wanted one. Needs the lock."""
        name = state.model
        pending = self._loader.pending()
        roles = {role: self._held(version, pending) for role, version in state.roles.items()}
        champion = roles.get("champion")
        before = self._answering.get(name)
        if champion is None or state.retired_at is not None:
            self._answering.pop(name, None)
        elif champion.loaded is not None:
            self._answering[name] = champion.loaded
        answering = self._answering.get(name)
        if answering is not None and answering is not before and self._remembers:
            self._remember(answering)
        old = self.table.models.get(name)
        error = champion.error if champion else None
        same = old is not None and old.loaded is answering and (old.error is None) == (error is None)
        since = old.since if same and old is not None else datetime.now(UTC)
        return Served(state=state, loaded=answering, roles=roles, since=since)

    def _held(self, version: DeployedVersion, pending: set[Key]) -> Held:
        key = key_of(version)
        loaded = self._memory.get(key)
        failure = None if loaded else self._failures.get(key)
        return Held(
            deployed=version,
            loaded=loaded,
            loading=key in pending,
            error=failure.error if failure else None,
            problem=failure.problem if failure else None,
        )

    def _refresh(self, name: str) -> None:
        with self._lock:
            served = self.table.models.get(name)
            if served is not None:
                self.table = self.table.having(self._served(served.state))

    # ---- loading ----------------------------------------------------------------------------------------------------

    def _load_wanted(self, states: Iterable[ModelState]) -> None:
        """Queue what is not in memory, the champions of all models first, as long as there is room.

        A model that is being asked for gets its new champion and challenger even when there is none: others leave.
        """
        pending = self._loader.pending()
        room = self._memory.room() - len(pending)
        places = [
            (place, version)
            for state in states
            if state.retired_at is None
            for place, version in enumerate(self._wanted(state))
        ]
        for place, version in sorted(places, key=lambda entry: (entry[0], entry[1].model)):
            key = key_of(version)
            failure = self._failures.get(key)
            if self._memory.get(key) is not None or key in pending or (failure is not None and failure.waits):
                continue
            if room > 0 or (version.model in self._answering and version.role != "previous"):
                room -= 1
                self._loader.submit(version, place)
                self._refresh(version.model)

    def _load(self, version: DeployedVersion) -> LoadedModel:
        try:
            model = self._source.load(version)
        except BaseException as error:
            self._not_loaded(version, error)
            raise
        self._put(model)
        self._source.prune(version.model, {key[1:3] for key in self._needed(version.model)})
        return model

    def _needed(self, model: str) -> set[Key]:
        with self._lock:
            served = self.table.models.get(model)
            roles = served.state.roles.values() if served else ()
            return self._memory.keys_of(model) | {key_of(version) for version in roles}

    def _put(self, model: LoadedModel) -> None:
        """Let a loaded version take its place, and others leave if there are too many."""
        key = key_of(model.deployed)
        with self._lock:
            self._failures.forget(key)
            gone = self._memory.put(model, self._rank)
            for other in gone:
                answering = self._answering.get(other[0])
                if answering is not None and key_of(answering.deployed) == other:
                    del self._answering[other[0]]
            for name in {model.deployed.model, *(other[0] for other in gone)}:
                self._refresh(name)
        _log.info("%s version %s is in memory", model.deployed.model, model.deployed.version)

    def _rank(self, key: Key) -> int:
        answering = self._answering.get(key[0])
        if answering is not None and key_of(answering.deployed) == key:
            return SPARE + 2
        served = self.table.models.get(key[0])
        challenger = served.challenger if served else None
        return SPARE + 1 if challenger is not None and challenger.version == key[1] else SPARE

    def _not_loaded(self, version: DeployedVersion, error: BaseException) -> None:
        last_good = self._last_good(version)
        with self._lock:
            self._failures.add(key_of(version), error)
            if last_good is not None and version.model not in self._answering:
                self._answering[version.model] = last_good
                self._memory.put(last_good, self._rank)
            self._refresh(version.model)

    def _last_good(self, version: DeployedVersion) -> LoadedModel | None:
        """After a restart with a champion that does not load: who answered before, if on disk and still whole."""
        last = self._file.read_served(version.model)
        if version.role != "champion" or version.model in self._answering or last is None:
            return None
        if key_of(last) == key_of(version) or not self._source.has(last):
            return None
        try:
            return self._source.load(last)
        except NoriaError as error:
            _log.warning("%s version %s, served before the restart, is lost: %s", last.model, last.version, error)
            return None

    def _remember(self, model: LoadedModel) -> None:
        try:
            self._file.write_served(model.deployed)
        except OSError as error:
            _log.warning("the served version of %s cannot be kept on disk: %s", model.deployed.model, error)
