"""Writers and compactors of the request log, killed at random: every logged record is in its table exactly once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress

import pytest

from include.lake.table import LakeTable
from include.serving.request_log.compaction import Compactor
from include.settings import PROJECT, Settings
from tests.serving.log_world import logged, segment_files, without_suites


@pytest.fixture
def here(settings: Settings) -> Settings:
    return without_suites(settings)


def test_every_acknowledged_request_is_there_once_however_often_writers_and_compactors_are_killed(
    here: Settings,
) -> None:
    _kill_at_random(here, seed=1, rounds=7)
    tables = [LakeTable(here, model, table) for model in "mn" for table in ("inference", "feedback")]
    commits_before = sum(table.version() for table in tables if table.exists())
    compactor = Compactor(here)
    assert compactor.run()
    assert compactor.done.problems == {}
    assert commits_before > 8
    acknowledged = (here.home / "acknowledged").read_text().split()
    found = Counter(row for model in "mn" for row in _rows(here, model))
    expected = {(name, row) for name in acknowledged for row in range(1 + int(name.split("-")[2]) % 3)}
    assert len(acknowledged) > 300
    assert expected - found.keys() == set()
    assert [row for row, count in found.items() if count > 1] == []
    # A killed worker may have logged one request that it never came to answer.
    assert len({name for name, _ in found.keys() - expected}) <= 2 * 7
    labels = [row for model in "mn" for row in logged(here, "segment, position, item", model=model, table="feedback")]
    assert len({tuple(row.values()) for row in labels}) == len(labels) > 30
    assert segment_files(here) == []


def _kill_at_random(settings: Settings, *, seed: int, rounds: int) -> None:
    command = [sys.executable, "-m", "tests.serving.log_chaos", str(settings.home), str(seed), str(rounds)]
    chaos = subprocess.Popen(command, cwd=PROJECT, start_new_session=True)
    try:
        assert chaos.wait(300) == 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(chaos.pid, signal.SIGKILL)  # its writers would write for ever
        chaos.wait()


def _rows(settings: Settings, model: str) -> list[tuple[str, int]]:
    return [(row["request_id"], row["row"]) for row in logged(settings, 'request_id, "row"', model=model)]
