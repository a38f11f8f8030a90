"""Runs started by the form and by a backfill; deployment, rollback and retirement by hand."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
import requests

from include.stack.airflow_api import FINISHED, AirflowRefused
from tests.e2e.line import Line, wait
from tests.e2e.models import shorten
from tests.e2e.staged import register_variant

pytestmark = pytest.mark.e2e


def test_the_form_refuses_what_is_no_date(line: Line, small: str) -> None:
    for conf in ({"first": "../../etc"}, {"as_of": "yesterday"}, {"force": "perhaps"}):
        with pytest.raises(AirflowRefused) as refusal:
            line.trigger(f"{small}.data", f"bad-{next(iter(conf))}", conf)
        assert refusal.value.status == 400


def test_a_backfill_trains_models_as_of_each_date_and_none_replaces_the_newer_champion(line: Line, small: str) -> None:
    champion = _champion(line, small)
    line.trigger(f"{small}.data", "earlier", {"first": "2013-11-20", "last": "2013-12-15"})
    assert line.finish(f"{small}.data", "earlier") == "success"
    created = line.airflow(
        *("backfill", "create", "--dag-id", f"{small}.train"),
        *("--from-date", "2013-12-11", "--to-date", "2013-12-16"),
    )
    assert created.returncode == 0, created.stdout + created.stderr

    def states() -> list[str]:
        return [run["state"] for run in line.api.runs(f"{small}.train") if run["run_type"] == "backfill"]

    wait(lambda: len(states()) >= 5 and all(state in FINISHED for state in states()), 400, "the backfill did not end")
    assert states() == ["success"] * 5
    versions = line.rows("SELECT version, as_of FROM model_version WHERE model = :m ORDER BY as_of", m=small)
    assert len(versions) == 6
    assert [row["as_of"].date() for row in versions][:5] == [date(2013, 12, 11) + timedelta(days=n) for n in range(5)]
    assert _champion(line, small) == champion


def test_deployment_and_rollback_by_hand_are_recorded_and_reach_the_server(line: Line, small: str) -> None:
    champion = _champion(line, small)
    older = line.rows("SELECT version FROM model_version WHERE model = :m ORDER BY as_of", m=small)[0]["version"]
    line.trigger(f"{small}.deploy", "refused", {"version": older, "reason": "older, without force", "actor": "ana"})
    assert line.finish(f"{small}.deploy", "refused") == "failed"
    assert _champion(line, small) == champion
    line.trigger(f"{small}.deploy", "forced", {"version": older, "reason": "to compare", "actor": "ana", "force": True})
    assert line.finish(f"{small}.deploy", "forced") == "success"
    assert _served(line, small) == older
    line.trigger(f"{small}.rollback", "by-hand", {"reason": "wrong answers in the evening", "actor": "ben"})
    assert line.finish(f"{small}.rollback", "by-hand") == "success"
    wait(lambda: _served(line, small) == champion, 15, "the server does not serve the previous champion")
    ledger = line.rows("SELECT actor, reason FROM deployment_ledger WHERE model = :m ORDER BY id", m=small)
    assert {"actor": "ana", "reason": "to compare"} in ledger
    assert {"actor": "ben", "reason": "wrong answers in the evening"} in ledger


def test_a_retired_model_is_no_longer_served_and_its_history_stays(line: Line, small: str, tmp_path: Path) -> None:
    model = "flights_retired"  # of its own: tests of other files need the small model in production
    line.define(model, "flight_delay", shorten)
    line.wait_for_dag(f"{model}.retire")
    version = register_variant(line, model, tmp_path, of=small, version=1, days=0)
    line.trigger(f"{model}.deploy", "by-hand", {"version": version, "reason": "a start", "actor": "ana"})
    assert line.finish(f"{model}.deploy", "by-hand") == "success"
    wait(lambda: _served(line, model) == version, 15, "the server does not serve it")
    line.trigger(f"{model}.retire", "by-hand", {"reason": "replaced by another model", "actor": "ana"})
    assert line.finish(f"{model}.retire", "by-hand") == "success"
    address = f"{line.settings.server_url}/models/{model}/predict"
    wait(lambda: requests.post(address, json={"rows": [{}]}, timeout=5).status_code == 410, 15, "it still answers")
    assert line.rows("SELECT version FROM model_version WHERE model = :m", m=model) == [{"version": version}]
    last = line.rows("SELECT action, actor FROM deployment_ledger WHERE model = :m ORDER BY id DESC LIMIT 1", m=model)
    assert last == [{"action": "retire", "actor": "ana"}]


def _champion(line: Line, model: str) -> int:
    rows = line.rows("SELECT version FROM deployment_state WHERE model = :m AND role = 'champion'", m=model)
    return int(rows[0]["version"])


def _served(line: Line, model: str) -> int | None:
    answer = requests.get(f"{line.settings.server_url}/models/{model}", timeout=5)
    return int(answer.json()["version"]) if answer.ok else None
