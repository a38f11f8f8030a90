"""The background process with misbehaving versions: ``python -m tests.serving.background_process <home>``.

What it would follow in the database is replaced by a state that holds still; everything else is the real thing.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from include.serving import background, keeper, shadow_scorer
from include.serving.limits import Limits
from include.serving.shadow import socket_path
from include.settings import Settings
from tests.serving.shadow_world import serving


def misbehave(row: dict[str, Any]) -> float:
    if row["x"] == 7:
        raise ValueError("seven")
    if row["x"] == 13:
        while True:
            time.sleep(0.01)
    if row["x"] == 17:
        os.abort()
    if row["x"] == 19:
        end = time.thread_time() + 0.3
        while time.thread_time() < end:
            pass
    return float(row["x"])


class Still:
    """A follower of a state that never changes."""

    def __init__(self, *_: object, **__: object) -> None:
        self.table = SimpleNamespace(models={"m": serving(misbehave), "n": serving(lambda row: row["x"], model="n")})

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    home = Path(sys.argv[1])
    settings = Settings.from_environment({"NORIA_HOME": str(home), "NORIA_DATABASE_URL": "postgresql://127.0.0.1:9/no"})
    settings = replace(settings, expectations=home / "expectations")
    shadow_scorer.Follower = Still  # type: ignore[assignment,misc]
    keeper.Keeper._follow = lambda self: self._board.publish({"scorer": True})  # type: ignore[method-assign]
    keeper.IDLE_SECONDS = 0.2  # type: ignore[misc]
    background.ROW_SECONDS = 1.0  # type: ignore[misc]
    background.run(settings, Limits(), socket_path(home))


if __name__ == "__main__":
    main()
