"""Deployments in a running Airflow: stages on real traffic, faulty challengers, approval, rollback meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from include.stack.airflow_api import FINISHED
from tests.e2e.line import Line, wait
from tests.e2e.models import relax_training_suite
from tests.e2e.staged import champion, ledger, register_variant, traffic, with_stages
from tests.serving.challengers import doctored

pytestmark = [pytest.mark.e2e, pytest.mark.by_turns]

MODEL = "flights_staged"
_LATER_ROWS_ONLY = (
    'if any(str(row["scheduled_at"]) >= "2013-12-18" and row["sched_dep_time"] % 10 == 5 for row in rows):\n'
    '            raise RuntimeError("no such minute")'
)


@pytest.fixture(scope="module")
def staged(line: Line) -> dict[str, Any]:
    """A model with stages whose first champion was replaced by a later one on real traffic; what its run wrote."""
    line.define(MODEL, "flight_delay", with_stages)
    relax_training_suite(line.home / "expectations", MODEL)
    line.land_flights()
    line.wait_for_dag(f"{MODEL}.retire")
    done = line.command("run", "--model", MODEL)
    assert done.returncode == 0, done.stdout + done.stderr
    return line.summary(MODEL)


def test_a_later_model_passes_its_stages_on_real_traffic(line: Line, staged: dict[str, Any]) -> None:
    assert staged["deployment"]["stages"].keys() == {"shadow", "canary_30"}
    assert all(stage["verdict"] == "advance" for stage in staged["deployment"]["stages"].values())
    assert staged["deployment"]["promote"]["replaced"] == 1
    actions = [(entry["action"], entry["state"].keys() - {"champion", "previous"}) for entry in ledger(line, MODEL)]
    assert actions == [
        ("stage", {"candidate"}),
        ("promote", set()),
        ("stage", {"candidate"}),
        ("stage", {"shadow"}),
        ("stage", {"canary"}),
        ("promote", set()),
    ]
    assert champion(line, MODEL) == 2


def test_a_challenger_that_raises_ends_in_rollback_and_a_red_run_that_says_why(
    line: Line, staged: dict[str, Any], tmp_path: Path
) -> None:
    code = doctored(before=_LATER_ROWS_ONLY)
    version = register_variant(line, MODEL, tmp_path, of=MODEL, version=2, code=code, days=1)
    with traffic(line, MODEL):
        line.trigger(f"{MODEL}.deploy", "raises", {"version": version, "reason": "a try", "actor": "ana"})
        assert line.finish(f"{MODEL}.deploy", "raises") == "failed"
    assert champion(line, MODEL) == 2
    entry = ledger(line, MODEL)[-1]
    assert (entry["action"], entry["from_version"]) == ("rollback", version)
    assert "fail" in entry["reason"]
    withdraw = line.tasks(f"{MODEL}.deploy", "raises")["withdraw"]
    log = "\n".join(line.api.log_lines(f"{MODEL}.deploy", "raises", withdraw))
    assert entry["reason"][:60] in log


def test_a_corrupt_artifact_never_leaves_the_verification(line: Line, staged: dict[str, Any], tmp_path: Path) -> None:
    version = register_variant(line, MODEL, tmp_path, of=MODEL, version=2, days=2)
    row = line.rows("SELECT model_uri, run_id FROM model_version WHERE model = :m AND version = :v", m=MODEL, v=version)
    model_id = row[0]["model_uri"].rsplit("/", 1)[-1]
    (file,) = (line.settings.store / "mlflow").rglob(f"{model_id}/**/model.ubj")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    line.trigger(f"{MODEL}.deploy", "corrupt", {"version": version, "reason": "a try", "actor": "ana"})
    assert line.finish(f"{MODEL}.deploy", "corrupt") == "failed"
    entry = ledger(line, MODEL)[-1]
    assert (entry["action"], entry["from_version"]) == ("rollback", version)
    assert "digest" in entry["reason"]
    assert champion(line, MODEL) == 2


def test_a_rollback_while_a_deployment_runs_ends_both_at_once(
    line: Line, staged: dict[str, Any], tmp_path: Path
) -> None:
    version = register_variant(line, MODEL, tmp_path, of=MODEL, version=2, days=3)
    line.trigger(f"{MODEL}.deploy", "overtaken", {"version": version, "reason": "a try", "actor": "ana"})
    wait(lambda: _state(line, "overtaken", "await_shadow") == "deferred", 120, "the stage was never waited for")
    line.trigger(f"{MODEL}.rollback", "meanwhile", {"reason": "wrong answers in the evening", "actor": "ben"})
    assert line.finish(f"{MODEL}.rollback", "meanwhile") == "success"
    assert champion(line, MODEL) == 1
    assert line.finish(f"{MODEL}.deploy", "overtaken", seconds=60) == "failed"
    assert champion(line, MODEL) == 1


def test_an_approver_is_in_the_ledger_by_name(line: Line, staged: dict[str, Any], tmp_path: Path) -> None:
    model = "flights_approved"

    def approved(document: dict[str, Any]) -> None:
        with_stages(document)
        document["deployment"] = {"stages": ["champion"], "approval": "required"}

    line.define(model, "flight_delay", approved)
    line.wait_for_dag(f"{model}.deploy")
    version = register_variant(line, model, tmp_path, of=MODEL, version=2, days=0)
    line.trigger(f"{model}.deploy", "asked", {"version": version, "reason": "a try", "actor": "ana"})
    wait(lambda: _state(line, "asked", "approve", model) == "deferred", 120, "nobody was asked")
    assert champion(line, model) is None
    wait(lambda: _approve_if_asked(line, model, "asked"), 240, "the approved deployment did not end")
    assert line.state(f"{model}.deploy", "asked") == "success"
    assert champion(line, model) == version
    promoted = ledger(line, model)[-1]
    assert promoted["action"] == "promote"
    approval = promoted["evidence"]["approval"]
    assert approval["note"] == "looks right"
    assert promoted["actor"] == approval["approved_by"] != "ana"


def _approve_if_asked(line: Line, model: str, run: str) -> bool:
    """Answer an open question as slowly as a person; whether the run has ended.

    Airflow takes an answer that is there before the scheduler has seen the asking process end for the loss of the task
    that asks. It tries that one again then, and asks again: as often as a definition allows.
    """
    path = f"/dags/{model}.deploy/dagRuns/{run}/taskInstances/approve/-1/hitlDetails"
    asked = line.api.call("GET", path)
    read = datetime.now(UTC) - datetime.fromisoformat(asked["created_at"]) > timedelta(seconds=10)
    if read and _state(line, run, "approve", model) == "deferred" and not asked["response_received"]:
        answer = {"chosen_options": ["Approve"], "params_input": {"note": "looks right"}}
        line.api.call("PATCH", path, json=answer)
    return line.state(f"{model}.deploy", run) in FINISHED


def _state(line: Line, run: str, task: str, model: str = MODEL) -> str | None:
    tasks = line.tasks(f"{model}.deploy", run)
    return tasks[task].state if task in tasks else None
