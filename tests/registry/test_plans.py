"""The plan of a stage, from the project's own definitions."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from include.registry.plans import deadline_for, live_metric, plan_for
from include.settings import Settings
from include.spec.definition import Definition, Gate
from include.spec.loader import find_definition
from include.spec.production import Stage

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def definition(settings: Settings) -> Definition:
    return find_definition(settings, "flight_delay")


def test_a_plan_says_all_that_the_server_judges_by_as_json(definition: Definition) -> None:
    stage = next(stage for stage in definition.deployment.stages if stage.kind == "canary")
    plan = plan_for(definition, stage, champion=7, started_at=START)
    assert json.loads(json.dumps(plan)) == plan
    assert (plan["stage"], plan["kind"], plan["champion"]) == (stage.name, "canary", 7)
    assert datetime.fromisoformat(plan["started_at"]) == START
    assert plan["evidence"]["requests"] == definition.deployment.evidence.requests
    assert plan["rollback"]["quality_margin"] == definition.deployment.rollback.quality_margin
    assert (plan["task"], plan["threshold"]) == (definition.task, definition.evaluation.threshold)
    assert (plan["label_known_after_s"], plan["length_s"]) == (86400.0, None)
    assert plan["event_time"] == "scheduled_at"


def test_a_candidate_has_a_plan_too(definition: Definition) -> None:
    plan = plan_for(definition, None, champion=None, started_at=START)
    assert (plan["stage"], plan["kind"], plan["champion"]) == ("candidate", "candidate", None)


def test_the_metric_is_the_stages_the_rollbacks_the_gates_or_the_first_shown(definition: Definition) -> None:
    test = Stage(kind="ab", share=50.0, length=timedelta(days=14), metric="brier")
    assert plan_for(definition, test, champion=1, started_at=START)["metric"] == "brier"
    assert plan_for(definition, test, champion=1, started_at=START)["length_s"] == 14 * 86400
    assert plan_for(definition, None, champion=1, started_at=START)["metric"] == definition.deployment.rollback.metric
    gates = [Gate(metric="f1", at_least=0.1), Gate(metric="log_loss", against="champion")]
    judged = definition.evaluation.model_copy(update={"gates": gates})
    assert live_metric(definition.model_copy(update={"evaluation": judged})) == "log_loss"
    own = definition.evaluation.model_copy(update={"gates": [], "metrics": ["f1", "roc_auc"]})
    assert live_metric(definition.model_copy(update={"evaluation": own})) == "f1"


def test_a_stage_ends_after_its_timeout_and_an_ab_test_after_its_length_besides(definition: Definition) -> None:
    timeout = definition.deployment.evidence.timeout
    assert deadline_for(definition, Stage(kind="shadow"), entered_at=START) == START + timeout
    assert deadline_for(definition, None, entered_at=START) == START + timeout
    test = Stage(kind="ab", share=50.0, length=timedelta(days=14))
    assert deadline_for(definition, test, entered_at=START) == START + timeout + timedelta(days=14)
