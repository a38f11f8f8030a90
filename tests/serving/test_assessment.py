"""The judge on duty, from the request log's tables to the ledger: real Delta tables, real PostgreSQL."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from include.errors import NothingToDo
from include.evaluation.live import Judgement, LiveEvidence
from include.registry import database, stages, state, versions
from include.registry.assessments import newest_assessment
from include.registry.deployed import DeployedVersion
from include.registry.roles import APPROVAL
from include.registry.tables import model_version
from include.serving import assessment
from include.serving.assessment import assess
from include.serving.evidence import read_evidence
from include.settings import Settings
from include.spec.loader import find_definition
from include.steps.catalog import load_step
from include.steps.protocol import StepCall
from tests.serving.judged_traffic import AS_OF, MODEL, WHO, Traffic, enter

pytestmark = pytest.mark.database


@pytest.fixture(autouse=True)
def always_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine too, where the judge would spare itself some reads."""
    monkeypatch.setattr(assessment, "_SLOW_SECONDS", float("inf"))


@pytest.fixture
def deployed(stored_settings: Settings) -> Settings:
    """Version 1 is champion, version 2 is registered."""
    with database.transaction(stored_settings.database_url) as connection:
        for version in (1, 2):
            connection.execute(
                model_version.insert().values(
                    model=MODEL, version=version, fingerprint=f"f{version}", run_id="r", artifact_digest="d",
                    model_uri="u", status="registered", windows={}, decision={}, as_of=AS_OF,
                )
            )  # fmt: skip
    state.switch_champion(stored_settings, MODEL, 1, **WHO)
    return stored_settings


@pytest.fixture
def traffic(deployed: Settings) -> Traffic:
    """Traffic that comes a little after the next stage began."""
    return Traffic(deployed, datetime.now(UTC) + timedelta(seconds=5))


def challenger(settings: Settings) -> DeployedVersion:
    found = stages.challenger(settings, MODEL)
    assert found is not None
    return found


def evidence(settings: Settings) -> LiveEvidence:
    return read_evidence(settings, challenger(settings), now=datetime.now(UTC))


def judged(settings: Settings, **options: Any) -> Judgement:
    found = assess(settings, MODEL, **options)
    assert found is not None
    return found


def roles(settings: Settings) -> dict[str, int]:
    return {role: held.version for role, held in state.read_states(settings)[MODEL].roles.items()}


def test_without_a_challenger_there_is_nothing_to_judge(deployed: Settings) -> None:
    assert assess(deployed, MODEL) is None
    assert assess(deployed, "never_deployed") is None


def test_pairs_are_what_one_answered_and_the_other_was_scored_on(deployed: Settings, traffic: Traffic) -> None:
    enter(deployed)
    traffic.send(80, share=0.5, challenger=lambda p: p + 0.01)
    seen = evidence(deployed)
    assert seen.rows.requests == 80
    assert np.allclose(seen.rows.challenger - seen.rows.champion, 0.01)
    assert np.array_equal(seen.rows.champion, traffic.probability(np.arange(80)))
    assert (seen.latencies.answered.size, int(seen.latencies.by_challenger.sum())) == (80, 40)
    assert seen.latencies.challenger.size == 10
    assert np.unique(seen.rows.times.astype("datetime64[D]")).size == 12


def test_requests_of_a_caller_that_repeats_its_request_id_are_told_apart(deployed: Settings, traffic: Traffic) -> None:
    enter(deployed)
    traffic.send(80, share=0.5, challenger=lambda p: p + 0.01, request_id="always-the-same")
    seen = evidence(deployed)
    assert seen.rows.requests == 80
    assert np.allclose(seen.rows.challenger - seen.rows.champion, 0.01)


def test_requests_that_named_their_version_or_came_before_are_no_evidence(deployed: Settings, traffic: Traffic) -> None:
    traffic.send(50, at=traffic.start - timedelta(hours=1))
    enter(deployed)
    traffic.send(50, share=0.5, asked=True, scored=False)
    traffic.send(30, share=0.5)
    assert evidence(deployed).rows.requests == 30


def test_the_stage_counts_its_own_requests_and_all_labels_of_the_deployment(
    deployed: Settings, traffic: Traffic
) -> None:
    started = datetime.now(UTC) - timedelta(seconds=10)
    enter(deployed, "shadow", 0.0, started_at=started.isoformat())
    traffic.start = started + timedelta(seconds=1)
    traffic.send(60, labels=True)
    enter(deployed, "canary", 0.5, started_at=started.isoformat())
    traffic.start = datetime.now(UTC) + timedelta(seconds=2)
    traffic.send(40, share=0.5, labels=True)
    seen = evidence(deployed)
    assert (seen.rows.requests, seen.labelled.labels.size) == (40, 100)


def test_the_newest_label_of_a_row_counts_and_labels_of_entities_count_too(
    deployed: Settings, traffic: Traffic
) -> None:
    enter(deployed)
    traffic.send(41, share=0.5)
    traffic.label({f"r{n}": 0.0 for n in range(20)})
    traffic.label({f"r{n}": 1.0 for n in range(10)}, minutes=1)
    traffic.write(
        "feedback",
        [{"entity": "e0", "label": 1.0, "at": traffic.start, "received_at": traffic.start,
          "segment": "g", "position": 0, "item": 0}],
    )  # fmt: skip
    found = evidence(deployed).labelled
    assert found.labels.size == 21  # r40 is about e0 too; the row's own label goes first at r0
    assert found.labels.sum() == 11


def test_columns_that_the_objective_reads_come_from_what_was_asked(deployed: Settings, traffic: Traffic) -> None:
    objective = {
        "expression": "abs(prediction - label) * hour(scheduled_at)", "goal": "smaller",
        "columns": {"scheduled_at": "timestamp", "never_logged": "number"},
    }  # fmt: skip
    enter(deployed, metric="objective", objective=objective)
    traffic.send(800, share=0.5, labels=True, challenger=lambda p: 1 - p)
    labelled = evidence(deployed).labelled
    assert labelled.columns["scheduled_at"].tolist() == labelled.times.astype("datetime64[us]").tolist()
    assert set(labelled.columns["never_logged"]) == {None}
    found = judged(deployed)
    assert found.verdict == "rollback"
    assert "Objective is" in found.reason


def test_enough_good_evidence_advances_and_is_recorded(deployed: Settings, traffic: Traffic) -> None:
    enter(deployed)
    traffic.send(200, share=0.5)
    waiting = judged(deployed)
    assert waiting.verdict == "wait"
    assert "200 of 300 requests" in waiting.reason
    traffic.send(150, share=0.5)
    assert judged(deployed).verdict == "advance"
    kept = newest_assessment(deployed, MODEL, deployment="run-1", stage="canary_50")
    assert kept is not None
    assert (kept.verdict, kept.version, kept.evidence["seen"]["requests"]) == ("advance", 2, 350)
    assert roles(deployed) == {"champion": 1, "canary": 2}


def test_a_challenger_that_raises_on_some_rows_is_taken_out_with_its_numbers(
    deployed: Settings, traffic: Traffic
) -> None:
    enter(deployed)
    traffic.send(300, share=0.5, fails=lambda n: n % 20 == 3)
    found = judged(deployed)
    assert found.verdict == "rollback"
    assert roles(deployed) == {"champion": 1}
    assert versions.get_version(deployed, MODEL, 2).status == "barred"
    entry = state.history(deployed, MODEL)[-1]
    assert (entry.action, entry.actor, entry.from_version) == ("rollback", "noria server", 2)
    assert "it alone failed on" in entry.reason
    checks = {check["check"]: check for check in entry.evidence["judgement"]["checks"]}
    assert checks["errors"]["passed"] is False
    assert checks["errors"]["value"] == pytest.approx(0.05, abs=0.01)
    assert assess(deployed, MODEL) is None
    kept = newest_assessment(deployed, MODEL, deployment="run-1", stage="canary_50")
    assert kept is not None
    assert kept.verdict == "rollback"


def test_an_answer_that_is_no_number_is_a_failure(deployed: Settings, traffic: Traffic) -> None:
    enter(deployed)
    traffic.send(200, share=0.5, challenger=lambda p: np.where(np.arange(p.size) % 40 == 3, np.nan, p))
    seen = evidence(deployed)
    assert (int(seen.rows.challenger_failed.sum()), int(seen.rows.champion_failed.sum())) == (5, 0)
    assert seen.rows.requests == 195


def test_a_challenger_that_adds_20_ms_is_taken_out(deployed: Settings, traffic: Traffic) -> None:
    enter(deployed, "shadow", 0.0)
    traffic.send(300, slower_ms=20)
    assert "20.0 ms longer than the champion" in judged(deployed).reason
    assert roles(deployed) == {"champion": 1}


def test_shifted_predictions_without_labels_are_taken_out(deployed: Settings, traffic: Traffic) -> None:
    enter(deployed, "shadow", 0.0)
    spread = float(np.std(traffic.probability(np.arange(300))))
    traffic.send(300, challenger=lambda p: p + 0.25 * spread)
    assert "standard deviations" in judged(deployed).reason
    assert roles(deployed) == {"champion": 1}


def test_a_worse_ranking_is_taken_out_when_its_labels_are_in(deployed: Settings, traffic: Traffic) -> None:
    enter(deployed)
    noise = np.random.default_rng(3)
    traffic.send(1500, share=0.5, challenger=lambda p: np.clip(p + noise.normal(0, 0.25, p.size), 0, 1))
    assert judged(deployed).verdict == "advance"
    traffic.label(
        {f"r{n}": float(noise.random() < p) for n, p in enumerate(traffic.probability(np.arange(1500)).tolist())}
    )
    assert "ROC AUC" in judged(deployed).reason
    assert roles(deployed) == {"champion": 1}


def test_an_ab_test_ends_after_its_length_on_both_arms(deployed: Settings, traffic: Traffic) -> None:
    enter(deployed, "ab", 0.5, length_s=600.0)
    traffic.send(600, share=0.5, role="ab", labels=True)
    soon, then = (datetime.now(UTC) + timedelta(seconds=seconds) for seconds in (300, 700))
    assert "of 600 seconds of the A/B test" in judged(deployed, now=soon).reason
    found = judged(deployed, now=then)
    assert found.verdict == "advance"
    assert {check.check for check in found.checks} >= {"ab_roc_auc", "quality_roc_auc"}


def test_past_its_deadline_a_stage_that_nobody_scores_is_taken_out_without_a_bar(deployed: Settings) -> None:
    enter(deployed, minutes=10)
    assert judged(deployed).verdict == "wait"
    found = judged(deployed, now=datetime.now(UTC) + timedelta(minutes=11))
    assert found.verdict == "rollback"
    assert "the stage canary_50 timed out" in found.reason
    assert "0 of 300 requests" in found.reason
    assert roles(deployed) == {"champion": 1}
    assert versions.get_version(deployed, MODEL, 2).status == "registered"
    assert state.history(deployed, MODEL)[-1].reason == found.reason


def test_a_candidate_waits_for_its_deadline_only(deployed: Settings, traffic: Traffic) -> None:
    enter(deployed, "candidate", 0.0, minutes=10)
    traffic.send(300, fails=lambda _: True)
    assert judged(deployed).verdict == "wait"
    assert judged(deployed, now=datetime.now(UTC) + timedelta(minutes=11)).verdict == "rollback"


def test_a_challenger_that_nobody_decided_on_goes_out_with_that_reason(deployed: Settings, traffic: Traffic) -> None:
    enter(deployed, "shadow", 0.0)
    traffic.send(350)
    stages.enter_stage(
        deployed, MODEL, 2, role="shadow", deployment="run-1", plan={**challenger(deployed).plan, "stage": APPROVAL},
        until=datetime.now(UTC) + timedelta(days=3), **WHO,
    )  # fmt: skip
    assert judged(deployed).verdict == "advance"
    found = judged(deployed, now=datetime.now(UTC) + timedelta(days=4))
    assert "the stage approval timed out" in found.reason
    assert "nobody has approved or rejected it" in found.reason
    assert (roles(deployed), versions.get_version(deployed, MODEL, 2).status) == ({"champion": 1}, "registered")


def test_a_deployment_that_does_not_go_on_times_out_although_its_evidence_is_complete(
    deployed: Settings, traffic: Traffic
) -> None:
    enter(deployed, minutes=10)
    traffic.send(350, share=0.5)
    assert judged(deployed).verdict == "advance"
    found = judged(deployed, now=datetime.now(UTC) + timedelta(minutes=11))
    assert "is Airflow running?" in found.reason
    assert roles(deployed) == {"champion": 1}


def test_a_log_that_cannot_be_read_does_not_keep_a_stage_beyond_its_deadline(
    deployed: Settings, traffic: Traffic
) -> None:
    enter(deployed, minutes=10)
    traffic.send(50)
    for file in (deployed.store / "lake" / MODEL / "inference").rglob("*.parquet"):
        file.write_bytes(b"broken")
    assert "cannot be judged" in judged(deployed).reason
    assert judged(deployed, now=datetime.now(UTC) + timedelta(minutes=11)).verdict == "rollback"


def test_labels_that_are_no_labels_of_the_task_are_said_and_wait(deployed: Settings, traffic: Traffic) -> None:
    enter(deployed)
    traffic.send(300, share=0.5)
    traffic.label({f"r{n}": 17.0 for n in range(300)})
    found = judged(deployed)
    assert found.verdict == "wait"
    assert "neither 0 nor 1" in found.reason


def test_judges_at_several_places_take_a_challenger_out_once(deployed: Settings, traffic: Traffic) -> None:
    enter(deployed)
    traffic.send(300, share=0.5, fails=lambda n: n % 5 == 3)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: assess(deployed, MODEL), range(4)))
    assert {one.verdict for one in found if one is not None} == {"rollback"}
    assert [entry.action for entry in state.history(deployed, MODEL)].count("rollback") == 1
    with database.transaction(deployed.database_url) as connection:
        kept = connection.exec_driver_sql("SELECT count(*) FROM assessment WHERE verdict = 'rollback'").scalar_one()
    assert kept == 1


def test_a_log_that_has_not_grown_is_not_read_again(
    deployed: Settings, traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(deployed)
    traffic.send(50, share=0.5)
    first = judged(deployed)
    reads: list[int] = []

    def counted(*arguments: Any, **options: Any) -> LiveEvidence:
        reads.append(1)
        return read_evidence(*arguments, **options)

    monkeypatch.setattr("include.serving.evidence.read_evidence", counted)
    again = judged(deployed, now=datetime.now(UTC) + timedelta(seconds=30))
    assert (reads, again.reason) == ([], first.reason)
    traffic.send(50, share=0.5)
    assert "100 of 300" in judged(deployed).reason
    assert reads == [1]


def test_after_a_slow_read_the_next_one_waits(
    deployed: Settings, traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assessment, "_SLOW_SECONDS", 0.0)
    monkeypatch.setattr(assessment, "_BUSY", 1e-6)
    enter(deployed)
    traffic.send(50, share=0.5)
    first = judged(deployed)
    traffic.send(50, share=0.5)
    assert judged(deployed).reason == first.reason


def test_the_step_says_what_the_judge_says(deployed: Settings, traffic: Traffic) -> None:
    definition = find_definition(deployed, "flight_delay").model_copy(update={"model": MODEL})

    def step(**inputs: Any) -> dict[str, Any]:
        call = StepCall(settings=deployed, definition=definition, as_of=AS_OF, attempt="a", inputs=inputs)
        return load_step("assess")(call)

    with pytest.raises(NothingToDo, match="challenger is none"):
        step()
    enter(deployed)
    traffic.send(350, share=0.5)
    with pytest.raises(NothingToDo, match="challenger is version 2"):
        step(version=7)
    found = step(version=2)
    assert (found["verdict"], found["stage"], found["deployment"]) == ("advance", "canary_50", "run-1")
    assert json.loads(json.dumps(found, allow_nan=False)) == found
