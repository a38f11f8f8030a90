"""Kills writers and compactors at random points and prints which requests were acknowledged: run as a process.

``python -m tests.serving.log_chaos <home> <seed> <rounds>``. Every process is forked from this one, which has imported
all that they need and used none of it.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import deltalake  # noqa: F401 - before the forks
import pyarrow.dataset  # noqa: F401

from include.serving.request_log.compaction import Compactor
from include.serving.request_log.writer import Label
from include.settings import Settings
from tests.serving.log_world import ROW, answer, open_log, shape

FAST = 1500
"""Requests that a writer answers as fast as it can; then slowly, or no compactor would be done on a busy machine."""


def write(settings: Settings, acknowledged: Path, worker: str) -> None:
    """Answer requests, at first as fast as possible; each is acknowledged after it is logged, as a worker does."""
    log = open_log(settings, rotate_bytes=20_000)
    acknowledgements = os.open(acknowledged, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    number = 0
    while True:
        number += 1
        request_id = f"{worker}-{number}"
        model = "mn"[number % 2]
        if answer(log, request_id, *[ROW] * (1 + number % 3), of=shape(1 + number % 2, model)):
            os.write(acknowledgements, f"{request_id}\n".encode())
        if number % 5 == 0:
            log.feedback(model=model, request_id=f"f-{request_id}", received_us=1, labels=[Label(label=1.0)])
        if number % 10 == 0 or number > FAST:
            time.sleep(0.005)


def compact(settings: Settings, calls: int | None = None) -> None:
    """Compact again and again; with ``calls``, until so many functions were called: then it kills itself."""
    left = calls or 0

    def count(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    compactor = Compactor(settings)
    if calls is not None:
        sys.setprofile(count)
    while True:
        compactor.run()
        time.sleep(0.001)


def forked(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(9)
    return pid


def main() -> None:
    home, seed, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    settings = Settings.from_environment({"NORIA_HOME": str(home)})
    settings = replace(settings, expectations=home / "expectations")
    home.mkdir(parents=True, exist_ok=True)
    chance = random.Random(seed)  # noqa: S311
    usual = 0.5
    for number in range(rounds):
        works = [lambda w=f"{number}-{i}": write(settings, home / "acknowledged", w) for i in range(2)]
        writers = [forked(work) for work in works]
        time.sleep(0.05)
        if number % 3 == 0:  # one that lives, as the measure of time on this machine
            began = time.monotonic()
            os.waitpid(forked(lambda: Compactor(settings).run() and None), 0)
            usual = min(1.0, time.monotonic() - began)
        else:
            calls = int(10 ** chance.uniform(2.5, 4.2))
            os.waitpid(forked(lambda n=calls: compact(settings, n)), 0)
        compactors = [forked(lambda: compact(settings)) for _ in range(2)]
        for pid in chance.sample([*writers, *compactors], 4):
            time.sleep(chance.uniform(0.05, 0.6) * usual)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
