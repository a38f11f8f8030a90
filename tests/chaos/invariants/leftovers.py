"""No half-done work: nothing is under way that nobody will finish, and nobody was told the same news twice."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psutil

from include.lake.cleaning import KEPT_DAYS
from include.steps.catalog import SUMMARIES
from tests.chaos.case import Breach
from tests.chaos.invariants.scene import Scene

_DAY_SECONDS = 86_400
_STEPS = frozenset(f"noria-{step}"[:15] for step in SUMMARIES)


def check(scene: Scene) -> Iterator[Breach]:
    """Challengers, staged files, processes, alerts."""
    for row in scene.rows(
        "SELECT role, version, until FROM deployment_state WHERE model = :m AND role NOT IN ('champion', 'previous')"
    ):
        yield Breach("left/challenger", f"version {row['version']} is still {row['role']}, until {row['until']}")
    for process in _steps(scene):
        yield Breach("left/process", f"the step {process.name()} (pid {process.pid}) still runs")
    for folder in (scene.settings.store / "staging" / scene.model).glob("*/*"):
        newest = max((path.stat().st_mtime for path in folder.rglob("*")), default=folder.stat().st_mtime)
        if newest < time.time() - (KEPT_DAYS + 1) * _DAY_SECONDS:
            yield Breach("left/staging", f"{folder} is what an attempt of more than {KEPT_DAYS} days ago left behind")
    for row in scene.rows("SELECT key, count(*) AS n FROM alert GROUP BY key HAVING count(*) > 1"):
        yield Breach("left/alerts", f"the alert {row['key']} is there {row['n']} times")
    for row in scene.rows(
        "SELECT document->>'title' AS title, count(*) AS n FROM alert WHERE model = :m AND run IS NOT NULL "
        "GROUP BY document->>'title', run, event HAVING count(*) > 1"
    ):
        yield Breach("left/alerts", f"{row['title']!r} was told {row['n']} times about one run")


def _steps(scene: Scene) -> list[psutil.Process]:
    """Step processes of this home that work on this model."""
    return [process for process in psutil.process_iter() if _is_step(scene, process)]


def _is_step(scene: Scene, process: psutil.Process) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        name = process.name()
        forked = name in _STEPS
        cold = "include.steps" in (words := process.cmdline()) and scene.model in words and "replay" not in words
        return (forked or cold) and process.environ().get("NORIA_HOME") == str(scene.settings.home)
    except psutil.Error:
        return False
