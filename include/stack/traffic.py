"""True traffic for a deployment: real later days sent to the live server as requests, and then what really happened."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from include.settings import PROJECT
from include.stack.environment import Stack

RATE = 150
_LONGEST_SECONDS = 3600
_STOP_SECONDS = 10.0


@contextmanager
def replaying(stack: Stack, model: str, as_of: datetime, say: Callable[[str], None]) -> Iterator[None]:
    """Send the days after an instant to the server, again and again, for as long as the block runs.

    The step ``replay`` does it in a process of its own; what it says is in the folder of the services' logs.
    """
    log = stack.logs / f"replay-{model}.log"
    inputs = {"rate": RATE, "labels": True, "loop": True, "seconds": _LONGEST_SECONDS}
    words = ["replay", "--model", model, "--as-of", as_of.isoformat(), "--inputs", json.dumps(inputs)]
    say(
        f"Sending the days after {as_of:%Y-%m-%d} to the server as requests, {RATE} a second, with their labels ({log})"
    )
    with log.open("a") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "include.steps", *words],
            cwd=PROJECT,
            env={**stack.environment(), "NORIA_RESULT": str(stack.settings.home / "logs" / f"replay-{model}.json")},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
        try:
            yield
        finally:
            _stop(process, log, say)


def _stop(process: subprocess.Popen[bytes], log: Path, say: Callable[[str], None]) -> None:
    if process.poll():
        last = (log.read_text().splitlines() or ["nothing"])[-1]
        say(f"The traffic had ended by itself, with exit code {process.returncode}; its last words: {last}")
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
