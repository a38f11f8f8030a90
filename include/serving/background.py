"""The process beside the workers: it starts and watches the keeper, and the scorer while a model has a challenger.

It does nothing else, so that it can always fork and always notice: a scorer that hangs on a row is killed, one that
died is replaced, and the version that did it has a failure in the log. What did it three times is not tried again.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

from include.hashing import Hashing
from include.serving import metrics
from include.serving.board import Board
from include.serving.limits import Limits
from include.serving.request_log.segments import log_folder
from include.serving.request_log.writer import RequestLog
from include.serving.shadow import short_address, socket_path
from include.serving.shared_state import SharedState
from include.serving.stopwatch import Progress
from include.settings import Settings

ROW_SECONDS: Final = 10.0
"""How long a version may take for one row before the scorer is killed."""
SILENT_SECONDS: Final = 60.0
"""How long the scorer may show no sign of life between rows."""
STRIKES: Final = 3
_TICK: Final = 0.25
_LINGER: Final = 30.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_LONG_LIFE: Final = 60.0
_END_SECONDS: Final = 15.0
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_log = logging.getLogger(__name__)


class Background:
    """Runs until SIGTERM, or until its parent is gone.

    :param settings: where everything is.
    :param limits: the server's limits.
    :param path: the socket where workers offer requests.
    :param shared: what the server's processes share; None without a server.
    """

    def __init__(self, settings: Settings, limits: Limits, path: Path, shared: SharedState | None) -> None:
        self._settings = settings
        self._limits = limits
        self._shared = shared
        self._row_seconds = ROW_SECONDS
        self._parent = os.getppid()
        self._ended = False
        self._listener = _listen(path)
        self._log = RequestLog(log_folder(settings.home), hashing=Hashing.of(settings))
        self._keeper = _Process("noria-keeper", signal.SIGTERM)
        self._scorer = _Process("noria-scorer", signal.SIGKILL)
        self._strikes: dict[str, int] = {}
        self._wanted_at = 0.0
        self._row = (0.0, Progress())

    def run(self) -> None:
        """Work until told to end; then end the children, the keeper last."""
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            while not self._ended and os.getppid() == self._parent:
                self._look_after_keeper()
                self._look_after_scorer()
                time.sleep(_TICK)
        finally:
            self._scorer.end()
            self._log.close()
            self._keeper.end()
            self._listener.close()

    def _end(self, *_: object) -> None:
        self._ended = True

    def _look_after_keeper(self) -> None:
        self._keeper.bury()
        if self._keeper.may_start():
            self._keeper.start(self._keep)

    def _keep(self) -> None:
        from include.serving.keeper import Keeper

        self._listener.close()
        Keeper(self._settings, self._keeper.board, self._scorer.board, self._shared).run()

    def _look_after_scorer(self) -> None:
        now = time.monotonic()
        if self._keeper.board.counts().get("scorer"):
            self._wanted_at = now
        wanted = bool(self._wanted_at) and now - self._wanted_at < _LINGER
        code = self._scorer.bury()
        if code is not None:
            self._note_death(code)
        if self._scorer.pid is None:
            if wanted and self._scorer.may_start():
                self._scorer.start(self._score)
        elif not wanted:
            self._scorer.end()
        else:
            self._stop_if_stuck(now)

    def _score(self) -> None:
        from include.serving.shadow_scorer import run_scorer

        condemned = [version for version, count in self._strikes.items() if count >= STRIKES]
        run_scorer(self._settings, self._limits, self._listener, self._scorer.board, condemned, self._shared)

    def _stop_if_stuck(self, now: float) -> None:
        alive, since, _ = self._scorer.board.look()
        stuck = since and self._worked(since, now) > self._row_seconds
        if stuck or (alive and now - alive > SILENT_SECONDS):
            what = "a row" if stuck else "nothing that it names"
            _log.error("the scorer has been at %s for %.0f s and is killed", what, now - (since or alive))
            self._scorer.kill()
            self._note(f"no prediction within {self._row_seconds:g} s; the scoring process was killed")

    def _worked(self, since: float, now: float) -> float:
        """How long the scorer is at the row that it began then; waiting for a processor is no version's fault."""
        progress = Progress.of(self._scorer.pid or 0)
        if self._row[0] != since:
            self._row = (since, progress)
        return progress.worked(self._row[1], now - since)

    def _note_death(self, code: int) -> None:
        _log.error("the scorer ended with %d and is started again", code)
        reason = f"signal {-code}" if code < 0 else f"code {code}"
        self._note(f"the scoring process died on this row ({reason})")

    def _note(self, problem: str) -> None:
        """Log a failure of the version that the scorer was at, and a strike against it."""
        _, _, task = self._scorer.board.look()
        self._scorer.board.rest()
        for model, waiting in self._scorer.board.counts().get("depth", {}).items():
            _log.warning("%d requests of %s that waited for being scored are lost", waiting, model)
            metrics.SHADOW_DROPPED.labels(model).inc(waiting)
        if task is None:
            return
        version = f"{task['model']}:{task['scoring']}"
        self._strikes[version] = self._strikes.get(version, 0) + 1
        row, record = task.pop("row"), {key: value for key, value in task.items() if key != "scoring"}
        if task["scoring"] == task["version"]:
            self._log.shadow({**record, "scores": [[row, None, None, None, problem]]})


class _Process:
    """A forked process that is to run again when it ends.

    :param dies_by: the signal with which the kernel ends it if its parent is gone.
    """

    def __init__(self, name: str, dies_by: signal.Signals) -> None:
        self._name = name
        self._dies_by = dies_by
        self._began = 0.0
        self._due = 0.0
        self._pause = 0.0
        self.board = Board()
        self.pid: int | None = None

    def may_start(self) -> bool:
        """Whether it is not there and its pause is over."""
        return self.pid is None and time.monotonic() >= self._due

    def start(self, work: Callable[[], None]) -> None:
        """Fork it."""
        self.board.rest()
        self._began = time.monotonic()
        parent = os.getpid()
        self.pid = os.fork() or self._live(work, parent)

    def bury(self) -> int | None:
        """The exit code, if it has ended since the last look; then there is a pause before the next start."""
        if self.pid is None:
            return None
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return None
        self._gone()
        return os.waitstatus_to_exitcode(status)

    def kill(self) -> None:
        """Kill it, whatever it is at."""
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self._gone()

    def end(self) -> None:
        """Ask it to end, and kill it if it does not."""
        if self.pid is None:
            return
        os.kill(self.pid, signal.SIGTERM)
        deadline = time.monotonic() + _END_SECONDS
        while time.monotonic() < deadline:
            if self.bury() is not None:
                self._due = self._pause = 0.0
                return
            time.sleep(0.02)
        self.kill()

    def _gone(self) -> None:
        long = time.monotonic() - self._began > _LONG_LIFE
        self._pause = _FIRST_PAUSE if long else min(max(self._pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
        self._due = time.monotonic() + self._pause
        _forget_numbers(self.pid or 0)
        self.pid = None

    def _live(self, work: Callable[[], None], parent: int) -> NoReturn:
        """The child's whole life; it never comes back into its parent's code."""
        code = 1
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            kernel: Any = ctypes.CDLL(None)
            kernel.prctl(_PR_SET_PDEATHSIG, self._dies_by)
            kernel.prctl(_PR_SET_NAME, self._name.encode()[:15])
            if os.getppid() == parent:
                work()
            code = 0
        except BaseException:  # noqa: BLE001 - the process ends here
            _log.exception("%s %d fails", self._name, os.getpid())
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def _forget_numbers(pid: int) -> None:
    """Drop the gauges of a process that is gone, as the supervisor does for its own children."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder and pid:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]


def _listen(path: Path) -> socket.socket:
    """The socket where workers offer requests; it takes a predecessor's place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(short_address(path))
    path.chmod(0o600)
    listener.listen(64)
    return listener


def run(settings: Settings, limits: Limits, path: Path, shared: SharedState | None = None) -> None:
    """The background process's life, in a process that was just forked or started; returns when it is told to end."""
    os.setpriority(os.PRIO_PROCESS, 0, 19)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TOKIO_WORKER_THREADS", "RAYON_NUM_THREADS"):
        os.environ[name] = "1"
    Background(settings, limits, path, shared).run()


def main() -> int:
    """Run it by itself, for a server that was started with ``--background off``."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = Settings.from_environment()
    run(settings, Limits(), socket_path(settings.home))
    return 0


if __name__ == "__main__":
    sys.exit(main())
