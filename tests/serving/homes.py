"""Several servers' logs in one store: ``python -m tests.serving.homes <folder> <homes> <requests>``.

Each home is a process that logs requests and brings them into the shared tables as fast as it can, all at once.
Every process is forked from this one, which has imported all that they need and used none of it.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import deltalake  # noqa: F401 - before the forks
import pyarrow.dataset  # noqa: F401

from include.serving.request_log.compaction import Compactor
from include.serving.request_log.writer import Label
from include.settings import Settings
from tests.serving.log_world import COLUMNS, ROW, answer, open_log, shape


def home_of(folder: Path, name: str) -> Settings:
    """One of the homes of a folder: a home of its own, the store and the key of all."""
    store = {"NORIA_STORE": str(folder / "store"), "NORIA_HASHING_KEY": str(folder / "hashing.key")}
    settings = Settings.from_environment({"NORIA_HOME": str(folder / name), **store})
    return replace(settings, expectations=folder / "expectations")


def log_and_compact(settings: Settings, name: str, requests: int) -> None:
    """Log requests and compact after every few; the second half comes from a version with another column."""
    log, compactor = open_log(settings, rotate_bytes=3000), Compactor(settings)
    for number in range(requests):
        wide = number > requests // 2
        of = shape(2, columns={**COLUMNS, "extra": "number"}) if wide else shape(1)
        answer(log, f"{name}-{number}", {**ROW, "extra": 1.0} if wide else ROW, of=of)
        if number % 3 == 0:
            log.feedback(model="m", request_id=f"f-{name}-{number}", received_us=1, labels=[Label(label=1.0)])
        if number % 5 == 0:
            compactor.run()
    log.close()
    compactor.join_small_files()


def main() -> None:
    folder, homes, requests = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    pids = []
    for number in range(homes):
        pid = os.fork()
        if pid == 0:
            try:
                log_and_compact(home_of(folder, f"home-{number}"), f"home-{number}", requests)
                os._exit(0)
            finally:
                os._exit(9)
        pids.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    sys.exit(max(codes))


if __name__ == "__main__":
    main()
