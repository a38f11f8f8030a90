"""Mode ``local``: a step is a child process with a process group of its own.

The child holds one end of a pipe as its stdin. When this process dies, however it dies, the pipe closes and the child
ends its whole group (``--lifeline``). If the installation has a warm parent, that forks the child, with imports done.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from include.settings import PROJECT, Settings
from plugins.operators.environment import child_environment
from plugins.operators.log_lines import LastWords, pass_on
from plugins.operators.step import StepCommand, StepOutcome
from plugins.operators.warm import WarmProcess, fork_step

if TYPE_CHECKING:
    from airflow.sdk import Context

GRACE_SECONDS = 3.0  # Airflow's own patience with a task that it stops is five seconds
PROGRAM = (sys.executable, "-m", "include.steps")
_POLL_SECONDS = 0.25


def start(command: StepCommand, *, context: Context, log: Any) -> LocalRun:  # noqa: ARG001 - as in all modes
    """Start the step's command line as a child process."""
    return LocalRun(command, log)


def _started(arguments: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*PROGRAM, *arguments],
        cwd=PROJECT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


class LocalRun:
    """A step that runs as a child process."""

    def __init__(self, command: StepCommand, log: Any) -> None:
        self._log = log
        self._folder = tempfile.TemporaryDirectory(prefix=f"noria-{command.step}-")
        self._result = Path(self._folder.name) / "return.json"
        inputs = Path(self._folder.name) / "inputs.json"
        inputs.write_text(json.dumps(command.inputs), encoding="utf-8")
        self._words = LastWords()
        self._kill_at: float | None = None
        arguments = (
            *(command.step, "--model", command.model),
            *("--as-of", command.as_of, "--inputs", f"@{inputs}", "--attempt", command.attempt, "--lifeline"),
        )
        environment = {**child_environment(command.threads), **command.secrets, "NORIA_RESULT": str(self._result)}
        self._process = fork_step(Settings.from_environment().home, arguments, environment, PROJECT) or _started(
            arguments, environment
        )
        how = "forked by the warm parent" if isinstance(self._process, WarmProcess) else "started cold"
        log.info("step %s runs as process %d, %s (try %s)", command.step, self._process.pid, how, command.attempt)

    @property
    def pid(self) -> int:
        """Process id of the step, which is also the id of its process group."""
        return self._process.pid

    def wait(self) -> StepOutcome:
        """Stream the log until the step ends; whatever is raised meanwhile (a timeout), the group is ended."""
        try:
            self._stream()
            return self._outcome(self._process.wait())
        finally:
            self._end_group()
            self._folder.cleanup()

    def stop(self) -> None:
        """Ask the whole group to end; after a grace ``wait`` kills it."""
        if self._kill_at is None:
            self._kill_at = time.monotonic() + GRACE_SECONDS
            self._signal(signal.SIGTERM)

    def _stream(self) -> None:
        """Pass on each line as it comes. Ends with the step, even if a grandchild keeps the pipe open."""
        pipe = self._process.stdout
        if pipe is None:
            return
        os.set_blocking(pipe.fileno(), False)
        lines = _Lines()
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            while True:
                ended = self._process.poll() is not None
                if ended:
                    self._signal(signal.SIGKILL)  # children that outlive the step
                selector.select(0 if ended else _POLL_SECONDS)
                chunk = _read(pipe)
                self._pass_on(lines.feed(chunk) if chunk else [])
                if chunk == b"" or (ended and not chunk):
                    break
                if self._kill_at is not None and time.monotonic() >= self._kill_at:
                    self._signal(signal.SIGKILL)
        self._pass_on(lines.rest())

    def _pass_on(self, lines: list[str]) -> None:
        for line in lines:
            self._words.hear(line)
            pass_on(line, self._log)

    def _outcome(self, exit_code: int) -> StepOutcome:
        if exit_code != 0:
            return StepOutcome(exit_code, None, self._words.text())
        try:
            return StepOutcome(0, json.loads(self._result.read_text(encoding="utf-8")), "")
        except (OSError, ValueError) as error:
            return StepOutcome(1, None, f"It ended well but its result cannot be read: {error}.")

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            return

    def _end_group(self) -> None:
        """Leave nothing behind: SIGTERM, a grace, SIGKILL for the whole group."""
        if self._process.poll() is None:
            self.stop()
            try:
                self._process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self._log.warning("the step did not end within %.0f s and is killed", GRACE_SECONDS)
        self._signal(signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class _Lines:
    """Cuts a stream of bytes into lines."""

    def __init__(self) -> None:
        self._tail = b""

    def feed(self, chunk: bytes) -> list[str]:
        *whole, self._tail = (self._tail + chunk).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        return [line.decode("utf-8", "replace") for line in whole]

    def rest(self) -> list[str]:
        tail, self._tail = self._tail, b""
        return [tail.decode("utf-8", "replace")] if tail else []


def _read(pipe: IO[bytes]) -> bytes | None:
    """Bytes that are there; ``b""`` at the end of the stream, None if there is nothing yet."""
    try:
        return os.read(pipe.fileno(), 65536)
    except BlockingIOError:
        return None
