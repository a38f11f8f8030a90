"""What a start replaces: services whose PostgreSQL is gone, whoever has started another one since."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from include.stack.instance import Instance
from include.stack.lifecycle import stop_orphans
from include.stack.processes import Service, is_alive, start, stop


@pytest.mark.parametrize(
    ("name", "age_of_postgres", "lost"),
    [
        ("scheduler", -5.0, True),
        ("scheduler", 5.0, False),
        ("server", -5.0, False),
        ("supervisor", -5.0, False),
    ],
)
def test_a_service_older_than_postgresql_has_lost_it_and_is_stopped(
    tmp_path: Path, name: str, age_of_postgres: float, lost: bool
) -> None:
    program = [sys.executable, "-c", "import time; time.sleep(60)"]
    process = start(Service(name, program, {}, tmp_path / "log", ready=lambda: True))
    postgres = SimpleNamespace(started=lambda: process.started - age_of_postgres)
    stack: Any = SimpleNamespace(postgres=postgres, instance=Instance("one", {}, {}, {name: process}))
    stop_orphans(stack)
    assert is_alive(process) is not lost
    stop([process])
