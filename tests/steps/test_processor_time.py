"""What a step costs is counted while it works and at its end, and never harms it."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from include.errors import Refused
from include.registry.step_costs import costs_of
from include.settings import Settings
from include.steps.processor_time import metered, processor_seconds
from tests.steps.test_command_line import run_probe

BUSY = 0.15


def work(seconds: float) -> None:
    until = processor_seconds() + seconds
    while processor_seconds() < until:
        sum(range(10_000))


def break_after_a_child() -> None:
    subprocess.run([sys.executable, "-c", "for _ in range(3_000_000): pass"], check=True)
    raise ValueError("broken")


def cost(settings: Settings) -> float:
    found = costs_of(settings, ["m"]).get("m")
    return 0.0 if found is None else found.in_all * 3600


@pytest.mark.database
def test_the_time_of_a_step_and_of_its_children_is_counted_once_by_day_and_step(stored_settings: Settings) -> None:
    with metered(stored_settings, "m", "train"):
        work(BUSY)
    first = cost(stored_settings)
    assert first >= BUSY
    before = processor_seconds()
    with pytest.raises(ValueError, match="broken"), metered(stored_settings, "m", "train"):
        break_after_a_child()
    # A step's process has done nothing before it; this one has.
    assert cost(stored_settings) - first >= before + 0.02
    assert costs_of(stored_settings, ["m", "other"])["m"].lately * 3600 == pytest.approx(cost(stored_settings))
    assert set(costs_of(stored_settings, ["m", "other"])) == {"m"}


@pytest.mark.database
def test_the_command_line_counts_a_step_that_fails_too(stored_settings: Settings, tmp_path: Path) -> None:
    done = run_probe(tmp_path, {"raise": "refused"}, NORIA_DATABASE_URL=stored_settings.database_url)
    assert done.returncode == Refused.exit_code
    assert "refused after" in done.stderr.splitlines()[-1], "the step's last words are its own"
    assert costs_of(stored_settings, ["flight_delay"])["flight_delay"].lately > 0


@pytest.mark.database
def test_a_long_step_is_counted_while_it_works_so_that_a_kill_loses_little(stored_settings: Settings) -> None:
    with metered(stored_settings, "m", "train", every=0.05):
        work(BUSY)
        for _ in range(100):
            if cost(stored_settings) >= BUSY:
                break
            time.sleep(0.05)
        early = cost(stored_settings)
        assert early >= BUSY
    assert early <= cost(stored_settings) <= processor_seconds() + 0.1, "nothing is counted twice"


def test_a_database_that_is_away_costs_the_step_a_warning(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    away = replace(settings, database_url="postgresql+psycopg2://noria@127.0.0.1:9/noria")
    with caplog.at_level(logging.WARNING), metered(away, "m", "train"):
        done = True
    assert done
    assert "not counted" in caplog.text
    assert "does not answer" in caplog.text
