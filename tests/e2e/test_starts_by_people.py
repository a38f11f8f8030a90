"""Runs started by the form and by a backfill; deployment, rollback and retirement by hand."""

from __future__ import annotations

import time
from datetime import date, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import requests

from include.lake.table import LakeTable
from include.stack.airflow_api import FINISHED, AirflowRefused
from tests.e2e.line import Line, wait
from tests.e2e.models import shorten
from tests.e2e.staged import register_variant

pytestmark = [pytest.mark.e2e, pytest.mark.by_turns]


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


def test_a_retired_model_drains_leaves_is_archived_and_comes_back_as_it_was(
    line: Line, small: str, tmp_path: Path
) -> None:
    model = "flights_retired"  # of its own: tests of other files need the small model in production
    line.define(model, "flight_delay", shorten)
    line.wait_for_dag(f"{model}.retire")
    line.trigger(f"{model}.data", "few", {"first": "2013-12-10", "last": "2013-12-12"})
    version = register_variant(line, model, tmp_path, of=small, version=1, days=0)
    line.trigger(f"{model}.deploy", "by-hand", {"version": version, "reason": "a start", "actor": "ana"})
    assert line.finish(f"{model}.deploy", "by-hand") == "success"
    assert line.finish(f"{model}.data", "few") == "success"
    wait(lambda: _served(line, model) == version, 15, "the server does not serve it")
    features = LakeTable(line.settings, model, "features").digest()

    row = _row(tmp_path)
    assert "Sunset" not in _ask(line, model, row).headers
    line.trigger(f"{model}.retire", "by-hand", {"reason": "replaced by another model", "actor": "ana"})
    wait(lambda: "Sunset" in _ask(line, model, row).headers, 240, "the server does not say that the model leaves")
    wait(lambda: _task(line, model, "await_quiet") == "deferred", 240, "nothing waits for silence")
    line.trigger(f"{model}.deploy", "too-late", {"version": version, "reason": "to see", "actor": "ben", "force": True})
    assert _answers_for(line, model, row, seconds=20) == {200}, "it is asked, so it answers"
    assert _task(line, model, "await_quiet") == "deferred"
    assert line.finish(f"{model}.retire", "by-hand", 400) == "success", "a minute after the last request"
    wait(lambda: _ask(line, model, row).status_code == 410, 15, "it still answers")
    assert line.rows("SELECT version FROM model_version WHERE model = :m", m=model) == [{"version": version}]
    told = line.rows("SELECT action, actor FROM deployment_ledger WHERE model = :m ORDER BY id", m=model)
    assert told[-4:] == [{"action": action, "actor": "ana"} for action in ("drain", "retire", "archive", "free")]
    verified = line.command("exec", "python", "-m", "include.retirement", "verify", model)
    assert verified.returncode == 0, verified.stderr
    assert "files as they were" in verified.stdout
    assert LakeTable(line.settings, model, "features").partitions() == {}

    line.trigger(f"{model}.restore", "by-hand", {"reason": "needed after all", "actor": "ben"})
    assert line.finish(f"{model}.restore", "by-hand", 400) == "success"
    wait(lambda: _ask(line, model, row).status_code == 200, 15, "it does not answer again")
    assert _served(line, model) == version
    assert LakeTable(line.settings, model, "features").digest() == features
    line.trigger(f"{model}.restore", "again", {"reason": "needed after all", "actor": "ben"})
    assert line.finish(f"{model}.restore", "again") == "failed", "there is nothing to bring back"


def _row(folder: Path) -> dict[str, object]:
    """A row that the model can read."""
    row = pq.read_table(next(folder.rglob("rows.parquet"))).drop_columns(["prediction"]).slice(0, 1).to_pylist()[0]
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}


def _ask(line: Line, model: str, row: dict[str, object]) -> requests.Response:
    return requests.post(f"{line.settings.server_url}/models/{model}/predict", json={"rows": [row]}, timeout=10)


def _answers_for(line: Line, model: str, row: dict[str, object], *, seconds: float) -> set[int]:
    """What a caller gets that asks every second for so long."""
    end, answers = time.monotonic() + seconds, set()
    while time.monotonic() < end:
        answers.add(_ask(line, model, row).status_code)
        time.sleep(1)
    return answers


def _task(line: Line, model: str, name: str) -> str | None:
    found = line.tasks(f"{model}.retire", "by-hand").get(name)
    return None if found is None else found.state


def _champion(line: Line, model: str) -> int:
    rows = line.rows("SELECT version FROM deployment_state WHERE model = :m AND role = 'champion'", m=model)
    return int(rows[0]["version"])


def _served(line: Line, model: str) -> int | None:
    answer = requests.get(f"{line.settings.server_url}/models/{model}", timeout=5)
    return int(answer.json()["version"]) if answer.ok else None
