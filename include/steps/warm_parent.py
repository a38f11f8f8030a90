"""The warm parent: it has imported what steps import, and forks a process for each step, which then begins at once.

``python -m include.steps.warm_parent`` listens on a socket below ``NORIA_HOME`` until SIGTERM. It only imports: it
never reads a table, trains or opens a connection, since a fork after XGBoost or Delta Lake have run hangs. When code
or packages change on disk it takes no more steps, and a new one takes its place. See ADR-warm-parent.md.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import ctypes
import gc
import importlib
import logging
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from include.settings import PROJECT, Settings
from include.steps.environment import THREADS, quiet_environment
from include.steps.warm_protocol import MESSAGE, READY, STALE, Request, listen, socket_path

PROGRAM: Final = "include.steps.command"
"""Module whose ``main(arguments)`` is a step's whole life."""
_ROOMS: Final = (
    "lake", "features", "gates", "training", "evaluation", "registry", "monitoring", "reports", "steps",
)  # fmt: skip
_LIBRARIES: Final = (
    *("pandas", "duckdb", "pyarrow.parquet", "pyarrow.compute", "pyarrow.dataset", "deltalake", "sqlglot"),
    *("great_expectations", "great_expectations.validator.validator"),
    *("great_expectations.execution_engine.pandas_execution_engine", "great_expectations.expectations.core"),
    *("xgboost", "sklearn.linear_model", "scipy.sparse", "threadpoolctl", "psycopg2"),
    *("mlflow", "mlflow.pyfunc", "mlflow.tracking", "mlflow.artifacts", "mlflow.models", "requests"),
)
_REVISIONS: Final = ".revisions."
"""What alembic runs, which cannot be imported without it."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_LONG_LIFE: Final = 60.0
_HANDSHAKE_SECONDS: Final = 5.0
_CANNOT_FORK: Final = 3
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_log = logging.getLogger("noria.warm_parent")


# ---- the one that stays: it holds the socket and has an importing child ---------------------------------------------


def supervise(settings: Settings, program: str, *, bare: bool = False) -> int:
    """Keep one importing process at the socket until SIGTERM; a new one when it retires or dies.

    :param program: module whose ``main(arguments)`` is a step's whole life.
    :param bare: import nothing but that.
    """
    listener = listen(socket_path(settings.home))
    _end_with_a_signal()
    pause = 0.0
    retiring: list[subprocess.Popen[bytes]] = []
    signal.signal(signal.SIGCHLD, lambda *_: [process.poll() for process in retiring])  # or they would be zombies
    while True:
        began = time.monotonic()
        process, retired = _start(listener, program, bare)
        os.read(retired, 1)  # nothing is ever written: it ends when the process is gone or takes no more steps
        os.close(retired)
        with contextlib.suppress(subprocess.TimeoutExpired):
            if process.wait(0.2) == _CANNOT_FORK:
                return 1
        retiring = [*(one for one in retiring if one.poll() is None), process]
        if time.monotonic() - began > _LONG_LIFE:
            pause = 0.0
        time.sleep(pause)
        pause = min(max(pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)


def _start(listener: socket.socket, program: str, bare: bool) -> tuple[subprocess.Popen[bytes], int]:
    reading, writing = os.pipe()
    # One thread for each library: a fork has only the thread that forks. A step then takes those that it may.
    environment = {
        **os.environ,
        **quiet_environment(threads=1),
        "PYTHONPATH": str(PROJECT),
        "PYTHONUNBUFFERED": "1",
    }
    arguments = ["--program", program, *(["--bare"] if bare else [])]
    arguments += ["--forks", str(listener.fileno()), str(writing)]
    process = subprocess.Popen(
        [sys.executable, "-m", __spec__.name if __spec__ else __name__, *arguments],
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.DEVNULL,
        pass_fds=(listener.fileno(), writing),
    )
    os.close(writing)
    return process, reading


def _end_with_a_signal() -> None:
    def end(*_: object) -> NoReturn:
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)


# ---- the one that imports and forks ---------------------------------------------------------------------------------


def import_all() -> None:
    """Import what steps import: the library's rooms, and what is imported within functions."""
    for name in _LIBRARIES:
        importlib.import_module(name)
    for room in _ROOMS:
        package = importlib.import_module(f"include.{room}")
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith(("__main__", "_main")) and _REVISIONS not in found.name:
                importlib.import_module(found.name)


def stamp() -> tuple[tuple[str, int], ...]:
    """What tells the code on disk from the code that was imported: each source's time of change, and the packages'."""
    sources = sorted(str(path) for path in (PROJECT / "include").rglob("*.py"))
    packages = [path for path in sys.path if path.endswith("site-packages")]
    found = []
    for path in (*sources, *packages):
        with contextlib.suppress(FileNotFoundError):
            found.append((path, os.stat(path).st_mtime_ns))
    return tuple(found)


class Forker:
    """Takes requests one after the other and forks for each; one thread, since only the thread that forks lives on.

    :param listener: the socket of requests.
    :param retired: descriptor that is closed when no more steps are taken.
    :param known: :func:`stamp` from before the imports.
    """

    def __init__(self, listener: socket.socket, retired: int, known: object) -> None:
        self._listener = listener
        self._retired = retired
        self._known = known
        self._accepting = True
        self._selector = selectors.DefaultSelector()
        self._steps: dict[int, tuple[int, socket.socket]] = {}
        """By the handle of a forked process: its id and the connection that wants its exit code."""
        self._selector.register(listener, selectors.EVENT_READ)

    def run(self) -> Request | None:
        """Fork until the code is stale and all steps have ended; then None. In a forked process: its request."""
        while self._accepting or self._steps:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    request = self._take()
                    if request is not None:
                        return request
                else:
                    self._report(key.fd)
        return None

    def _take(self) -> Request | None:
        """Serve one connection; the request in the forked process, None in this one."""
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return None
        connection.settimeout(_HANDSHAKE_SECONDS)
        try:
            if stamp() != self._known:
                connection.sendall(STALE)
                connection.close()
                self._retire()
                return None
            connection.sendall(READY)
            request = Request.receive(connection)
        except (OSError, ValueError) as error:
            _log.warning("a request was not understood: %s", error)
            request = None
        if request is None:
            connection.close()
            return None
        return self._fork(connection, request)

    def _fork(self, connection: socket.socket, request: Request) -> Request | None:
        pid = os.fork()
        if pid == 0:
            self._leave(connection)
            request.put_on()
            return request
        request.close()
        handle = os.pidfd_open(pid)
        self._steps[handle] = (pid, connection)
        self._selector.register(handle, selectors.EVENT_READ)
        with contextlib.suppress(OSError):  # its exit will not be asked for either
            connection.sendall(MESSAGE.pack(pid))
        return None

    def _report(self, handle: int) -> None:
        pid, connection = self._steps.pop(handle)
        self._selector.unregister(handle)
        os.close(handle)
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(OSError):  # the task is gone
            connection.sendall(MESSAGE.pack(os.waitstatus_to_exitcode(status)))
        connection.close()

    def _retire(self) -> None:
        _log.info("code or packages have changed on disk: a new parent takes over")
        self._accepting = False
        self._selector.unregister(self._listener)
        self._listener.close()
        os.close(self._retired)

    def _leave(self, connection: socket.socket) -> None:
        """Let go, in a forked process, of everything that is the parent's."""
        for handle, (_, other) in self._steps.items():
            os.close(handle)
            other.close()
        connection.close()
        self._selector.close()
        if self._accepting:
            self._listener.close()
            os.close(self._retired)


def fork_for(listener: socket.socket, retired: int, program: str, *, bare: bool = False) -> int:
    """The life of the process that imports; and, in each of its forks, the life of a step."""
    _die_with_the_parent()
    known = stamp()
    main = importlib.import_module(program).main
    if not bare:
        import_all()
    if others := _other_threads():
        _log.error("after the imports other threads run (%s): no fork is safe, steps start cold", ", ".join(others))
        return _CANNOT_FORK
    gc.collect()
    gc.freeze()  # else the first collection of each fork would copy all that is shared
    _log.info("ready")
    request = Forker(listener, retired, known).run()
    if request is None:
        os._exit(0)
    _die_with_the_parent()
    _control(_PR_SET_NAME, f"noria-{''.join(request.arguments[:1])}".encode()[:15])
    _use_threads(int(request.environment.get(THREADS[0], "1")))
    if request.program is not None:
        main = importlib.import_module(request.program).main
    return _live(main, request.arguments)


def _live(main: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> NoReturn:
    """A step's life, ended as the interpreter ends, but for taking apart all that was imported (half a second)."""
    try:
        code = main(arguments)
    except SystemExit as end:  # wrong arguments
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - the process ends here
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _other_threads() -> list[str]:
    """Names of the threads that a fork would lose, without those that jemalloc starts again by itself."""
    names = []
    for task in Path("/proc/self/task").iterdir():
        if int(task.name) != os.getpid():
            with contextlib.suppress(FileNotFoundError):
                names.append((task / "comm").read_text().strip())
    return [name for name in names if name != "jemalloc_bg_thd"]


def _use_threads(count: int) -> None:
    """What the environment says to a process that loads its libraries itself; these are loaded."""
    if count > 1:
        from threadpoolctl import threadpool_limits

        threadpool_limits(count)


def _die_with_the_parent() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    _control(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _control(what: int, value: object) -> None:
    kernel: Any = ctypes.CDLL(None)
    kernel.prctl(what, value)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m include.steps.warm_parent", description=__doc__)
    parser.add_argument("--program", default=PROGRAM, help=f"module whose main() runs a step (default {PROGRAM})")
    parser.add_argument("--bare", action="store_true", help="import nothing but the program: for tests")
    parser.add_argument("--forks", nargs=2, type=int, metavar=("LISTENER", "RETIRED"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    _log.setLevel(logging.INFO)
    if options.forks is None:
        return supervise(Settings.from_environment(), options.program, bare=options.bare)
    listener, retired = options.forks
    return fork_for(socket.socket(fileno=listener), retired, options.program, bare=options.bare)


if __name__ == "__main__":
    sys.exit(main())
