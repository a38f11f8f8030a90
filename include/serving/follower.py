"""Follows the deployment state in a thread of its own and loads what it wants, never in a request's way."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from include.errors import NoriaError
from include.registry import database
from include.registry.deployed import DeployedVersion, ModelState, read_states
from include.registry.mlflow_client import summary
from include.serving.artifacts import ArtifactAway, ArtifactCache, ArtifactCorrupt, ArtifactUnloadable
from include.serving.limits import Limits
from include.serving.loaded import LoadedModel
from include.serving.memory import StateFile
from include.serving.table import Problem, Served, Table
from include.settings import Settings

_LONGEST_RETRY = 60.0
_PROBLEMS: dict[type[Exception], Problem] = {
    ArtifactAway: "away",
    ArtifactCorrupt: "corrupt",
    ArtifactUnloadable: "unloadable",
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Try:
    """A load that failed: when it is tried again, and the pause after that."""

    at: float
    pause: float


class Follower:
    """Keeps :attr:`table` at the deployment state, as far as database, MLflow and artifacts allow.

    A new version is loaded first and then put in place of the old one in one assignment: requests under way keep the
    version that they began with. Whatever is away or broken leaves the version that answers in its place.
    """

    def __init__(self, settings: Settings, limits: Limits) -> None:
        self._settings = settings
        self._limits = limits
        self._cache = ArtifactCache(settings)
        self._file = StateFile(settings.home / "serving")
        self._engine = database.create(settings.database_url, pooled=True)
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._loading: set[str] = set()
        self._failed: dict[tuple[str, int], _Try] = {}
        self._kept: dict[tuple[str, int, str], LoadedModel] = {}
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self.table = Table()

    def start(self) -> None:
        """Begin to follow; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Stop following; a load under way is abandoned."""
        self._stop.set()
        self._thread.join(timeout=self._limits.poll_seconds + 1)
        self._engine.dispose()

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
            states = read_states(self._settings, self._engine)
        except NoriaError as error:
            self._away(str(error))
            if not self.table.known and (kept := self._file.read()) is not None:
                self._follow(kept)
        else:
            changed = not self.table.known or {s.state.model: s.state for s in self.table.models.values()} != states
            self._follow(states)
            with self._lock:
                self.table = replace(self.table, error=None, error_since=None)
            if changed:
                self._keep(states)
        self._load_wanted()

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

    def _follow(self, states: dict[str, ModelState]) -> None:
        """Take over the states; versions that are in memory already answer at once."""
        with self._lock:
            models = {name: self._served(state, self.table.models.get(name)) for name, state in states.items()}
            self.table = replace(self.table, models=models, known=True)
            wanted = {_key(version) for state in states.values() for version in state.roles.values()}
            answering = {_key(served.loaded.deployed) for served in models.values() if served.loaded}
            self._kept = {key: model for key, model in self._kept.items() if key in wanted | answering}

    def _served(self, state: ModelState, old: Served | None) -> Served:
        if old is not None and old.state == state:
            return old
        champion = state.roles.get("champion")
        now = datetime.now(UTC)
        if champion is None or state.retired_at is not None:
            return Served(state=state, loaded=None, since=now)
        if old is not None and old.state.retired_at is None and _same_champion(old.state, state):
            return replace(old, state=state)
        in_memory = self._kept.get(_key(champion))
        if in_memory is not None:
            self._remember(in_memory)
            return Served(state=state, loaded=in_memory, since=now)
        return Served(state=state, loaded=old.loaded if old else None, since=now)

    def _load_wanted(self) -> None:
        for name, served in self.table.models.items():
            champion = served.state.roles.get("champion")
            if champion is None or served.status in {"serving", "retired"} or name in self._loading:
                continue
            attempt = self._failed.get((name, champion.version))
            if attempt is None or time.monotonic() >= attempt.at:
                self._loading.add(name)
                threading.Thread(target=self._load, args=(champion,), name=f"load-{name}", daemon=True).start()

    def _load(self, wanted: DeployedVersion) -> None:
        try:
            self._put(self._cache.load(wanted), wanted)
            self._failed.pop((wanted.model, wanted.version), None)
            self._cache.prune(wanted.model, {key[1:] for key in self._kept if key[0] == wanted.model})
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a version, the old one goes on
            self._not_loaded(wanted, error)
        finally:
            self._loading.discard(wanted.model)

    def _put(self, model: LoadedModel, wanted: DeployedVersion) -> None:
        """Let a loaded version answer, if it is still wanted."""
        with self._lock:
            self._kept[_key(model.deployed)] = model
            served = self.table.models.get(wanted.model)
            champion = served.state.roles.get("champion") if served else None
            if served is None or champion is None or _key(champion) != _key(wanted):
                return
            self.table = self.table.having(Served(state=served.state, loaded=model, since=datetime.now(UTC)))
        self._remember(model)
        _log.info("%s version %s answers now", wanted.model, wanted.version)

    def _not_loaded(self, wanted: DeployedVersion, error: Exception) -> None:
        old = self._failed.get((wanted.model, wanted.version))
        pause = min(old.pause * 2, _LONGEST_RETRY) if old else self._limits.retry_seconds
        self._failed[(wanted.model, wanted.version)] = _Try(at=time.monotonic() + pause, pause=pause)
        problem = _PROBLEMS.get(type(error), "away")
        _log.warning("%s version %s is not served (next try in %.0f s): %s", wanted.model, wanted.version, pause, error)
        served = self.table.models.get(wanted.model)
        last_good = self._last_good(wanted) if served is not None and served.loaded is None else None
        with self._lock:
            served = self.table.models.get(wanted.model)
            if served is None or served.wanted != wanted.version:
                return
            since = served.since if served.error else datetime.now(UTC)
            loaded = served.loaded or last_good
            self.table = self.table.having(
                replace(served, loaded=loaded, error=summary(error), problem=problem, since=since)
            )

    def _last_good(self, wanted: DeployedVersion) -> LoadedModel | None:
        """After a restart: the version that answered before it, if it is on disk and still whole."""
        last = self._file.read_served(wanted.model)
        if last is None or _key(last) == _key(wanted) or not self._cache.has(last):
            return None
        try:
            return self._cache.load(last)
        except NoriaError as error:
            _log.warning("%s version %s, served before the restart, is lost: %s", last.model, last.version, error)
            return None

    def _remember(self, model: LoadedModel) -> None:
        try:
            self._file.write_served(model.deployed)
        except OSError as error:
            _log.warning("the served version of %s cannot be kept on disk: %s", model.deployed.model, error)


def _same_champion(one: ModelState, other: ModelState) -> bool:
    first, second = one.roles.get("champion"), other.roles.get("champion")
    return first is not None and second is not None and _key(first) == _key(second)


def _key(version: DeployedVersion) -> tuple[str, int, str]:
    return version.model, version.version, version.artifact_digest
