"""A replay to the real server: every later row is answered and logged once, every known label finds its request."""

from __future__ import annotations

import uuid
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from include.serving.request_log.compaction import Compactor
from include.serving.request_log.feedback import feedback_counts
from include.settings import Settings
from include.steps import replay
from include.steps.protocol import StepCall
from tests.serving.challengers import log_package, register
from tests.serving.checking import logged_answers
from tests.serving.live import as_process, deploy, serving, until
from tests.training.factories import make_definition, make_package, make_rows
from tests.training.lake import land, with_suites

pytestmark = pytest.mark.database
MODEL = "late"


def test_later_days_become_requests_and_feedback_of_the_real_server(
    tracked: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_package(tmp_path)
    settings = with_suites(tracked, tmp_path)
    land(settings, rows := make_rows(800, days=4))
    package = log_package(settings, tmp_path / "logged", tmp_path / "package")
    deploy(settings, register(settings, MODEL, package, days=1), MODEL)
    with as_process(settings, tmp_path / "server.log") as (live, _):
        until(lambda: _answers(live), 60)
        call = StepCall(
            settings=live,
            definition=make_definition(),
            as_of=datetime.fromisoformat("2013-01-02T00:00:00-05:00"),
            attempt=uuid.uuid4().hex,
            inputs={"days": 3, "rate": 300},
        )
        found = replay.run(call)
    later = rows[rows["left_at"] >= "2013-01-02"]
    assert (found["sent"], found["answered"], found["refused"], found["failed"]) == (len(later), len(later), 0, 0)
    assert found["by_version"] == [{"version": 1, "role": "champion", "answered": len(later)}]
    assert found["labels"]["accepted"] == int(later["delay"].notna().sum())
    logged = [request_id for request_id, _, _ in logged_answers(settings, MODEL)]
    assert len(logged) == len(set(logged)) == len(later)
    Compactor(settings).run()
    counts = feedback_counts(settings, MODEL)
    assert counts.applied == found["labels"]["accepted"], counts


def _answers(live: Settings) -> bool:
    try:
        with httpx.Client(base_url=live.server_url, trust_env=False) as client:
            return serving(client, 1, MODEL)
    except httpx.TransportError:
        return False
