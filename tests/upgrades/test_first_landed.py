"""What the first landed version left behind goes on with today's code. How it was made: ``make_first_landed.py``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from include.lake.table import LakeTable
from include.registry import state
from include.serving.request_log.compaction import Compactor
from tests.serving.live import in_thread
from tests.serving.log_world import logged
from tests.upgrades.old_store import FIRST_LANDED, MODEL, OldStore, unpack

pytestmark = pytest.mark.database


@pytest.fixture
def old(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> OldStore:
    """The store as the first landed version left it: version 2 is champion after version 1."""
    settings = unpack(FIRST_LANDED, tmp_path / "old", database_url)
    monkeypatch.chdir(settings.home)
    return OldStore(settings)


def ask(client: httpx.Client, rows: list[dict[str, Any]]) -> dict[str, Any]:
    response = client.post(f"/models/{MODEL}/predict", json={"rows": rows})
    assert response.is_success, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_history_and_every_past_moment_are_answered(old: OldStore) -> None:
    history = state.history(old.settings, MODEL)
    assert [[entry.action, entry.to_version, entry.reason] for entry in history] == old.recorded("history")
    assert [state.state_at(old.settings, MODEL, entry.at).champion for entry in history] == [1, 2]
    assert [entry.shares for entry in history] == [{"champion": 1.0}, {"champion": 1.0, "previous": 0.0}]


def answer_as_recorded(old: OldStore) -> None:
    """Today's server gives the old champion's recorded answers, bit for bit, and logs them."""
    recorded = old.recorded("answers")
    with in_thread(old.settings) as client:
        answer = ask(client, recorded["rows"])
    # Each answer has an identity of its own.
    assert {**answer, "request_id": None} == {**answer, **recorded["answer"], "request_id": None}
    Compactor(old.settings).run()
    assert logged(old.settings, "prediction", model=MODEL) == recorded["answer"]["predictions"]


def test_the_line_goes_on_in_the_old_tables(old: OldStore) -> None:
    tables = [LakeTable(old.settings, MODEL, name) for name in ("raw", "features")]
    before = [table.partitions() for table in tables]
    old.ingest(27, 30)
    for table, kept in zip(tables, before, strict=True):
        now = table.partitions()
        assert {key: now[key] for key in kept} == kept
        assert sorted(now.keys() - kept.keys()) == [f"2013-01-{day}" for day in (27, 28, 29, 30)]
    checked = old.run("monitor", 30)
    assert checked["champion_version"] == 2

    decision, registered = old.train(30)
    assert decision["promote"], decision
    assert registered == {"version": 3, "reused": False, "status": "registered"}
    answer_as_recorded(old)
    recorded = old.recorded("answers")
    with in_thread(old.settings) as client:
        here = OldStore(replace(old.settings, server_url=str(client.base_url).rstrip("/")))
        for step in ("deploy", "verify", "promote"):
            here.run(step, 30, version=3, deployment="upgraded", actor="ana", reason="today's")
        assert ask(client, recorded["rows"])["version"] == 3
        assert here.run("score", 30, first="2013-01-29", last="2013-01-30")["model_version"] == 3
        assert here.run("score", 30, first="2013-01-28", last="2013-01-28", version=2)["model_version"] == 2
        assert here.run("monitor", 30)["champion_version"] == 3
        assert here.run("rollback", 30, actor="ana", reason="the old one was better")["version"] == 2
        champion = state.champion(old.settings, MODEL)
        assert champion is not None
        assert champion.version == 2
