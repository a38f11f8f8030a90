"""The deployment's DAG: its tasks are the definition's stages, approval comes before anybody is answered."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from airflow.sdk import DAG

from dags.families.deploy import build_deploy
from include.settings import Settings
from include.spec.definition import Definition
from include.spec.loader import find_definition
from include.spec.production import Deployment
from plugins.operators.approval import ApproveChallengerOperator
from plugins.operators.step import StepOperator
from plugins.sensors.stages import StageSensor

SHADOW_AND_CANARIES = ["shadow", {"canary": 10}, {"canary": 50}, "champion"]


def dag_of(stages: list[Any], approval: str = "none") -> DAG:
    definition = find_definition(Settings.from_environment({}), "bike_demand")
    deployment = Deployment.model_validate({"stages": stages, "approval": approval})
    return build_deploy(definition.model_copy(update={"deployment": deployment}))


def chain_of(dag: DAG) -> list[str]:
    """The tasks in their order, without the one that ends every run."""
    return [task.task_id for task in dag.topological_sort() if task.task_id != "withdraw"]


@pytest.mark.parametrize(
    ("stages", "approval", "chain"),
    [
        (["champion"], "none", "promote"),
        (["champion"], "required", "ask approve promote"),
        (["shadow", "champion"], "required", "shadow await_shadow ask approve promote"),
        ([{"canary": 5}, "champion"], "required", "ask approve canary_5 await_canary_5 promote"),
        (
            SHADOW_AND_CANARIES,
            "none",
            "shadow await_shadow canary_10 await_canary_10 canary_50 await_canary_50 promote",
        ),
        (
            SHADOW_AND_CANARIES,
            "required",
            "shadow await_shadow ask approve canary_10 await_canary_10 canary_50 await_canary_50 promote",
        ),
        (
            ["shadow", {"ab": {"share": 50, "length": "14d"}}, "champion"],
            "required",
            "shadow await_shadow ask approve ab_50 await_ab_50 promote",
        ),
    ],
)
def test_the_tasks_are_the_definitions_stages_in_their_order(stages: list[Any], approval: str, chain: str) -> None:
    dag = dag_of(stages, approval)
    names = ["resolve_as_of", "deploy", "verify", *chain.split()]
    assert chain_of(dag) == names
    for before, after in itertools.pairwise(names):
        assert before in dag.get_task(after).upstream_task_ids


def test_every_run_ends_at_withdraw_which_also_runs_when_a_person_marks_the_run_failed() -> None:
    dag = dag_of(SHADOW_AND_CANARIES, "required")
    withdraw = dag.get_task("withdraw")
    assert dag.leaves == [withdraw]
    assert withdraw.upstream_task_ids == set(dag.task_ids) - {"withdraw"}
    assert withdraw.is_teardown
    assert withdraw.on_failure_fail_dagrun
    assert dag.get_task("resolve_as_of").is_setup


def test_each_stage_names_itself_to_its_step_and_is_waited_for_without_a_slot() -> None:
    dag = dag_of(SHADOW_AND_CANARIES)
    for name in ("shadow", "canary_10", "canary_50"):
        entered, awaited = dag.get_task(name), dag.get_task(f"await_{name}")
        assert isinstance(entered, StepOperator)
        assert (entered.step, entered.inputs["stage"]) == ("stage", name)
        assert "stages" in entered.from_params
        assert "deployment" in entered.from_run
        assert isinstance(awaited, StageSensor)


def test_the_steps_after_the_approval_carry_the_approvers_name() -> None:
    dag = dag_of(SHADOW_AND_CANARIES, "required")
    with_name = [task.task_id for task in dag.tasks if isinstance(task, StepOperator) and "approved_by" in task.inputs]
    assert with_name == ["canary_10", "canary_50", "promote"]
    approve = dag.get_task("approve")
    assert isinstance(approve, ApproveChallengerOperator)
    assert approve.fail_on_reject
    assert list(approve.params) == ["note"]


def test_what_a_stage_showed_reaches_the_next_one_and_the_person() -> None:
    dag = dag_of(SHADOW_AND_CANARIES, "required")
    for task_id, awaited in (
        ("ask", "await_shadow"),
        ("canary_10", "await_shadow"),
        ("canary_50", "await_canary_10"),
        ("promote", "await_canary_50"),
    ):
        task = dag.get_task(task_id)
        assert isinstance(task, StepOperator)
        assert task.inputs["judgement"].operator.task_id == awaited


def test_the_form_offers_the_way_straight_to_champion() -> None:
    field = dag_of(SHADOW_AND_CANARIES).params.get_param("stages")
    assert field.resolve() == "as defined"
    assert field.schema["enum"] == ["as defined", "straight to champion"]


def test_a_definition_that_names_no_stages_goes_from_verification_to_champion() -> None:
    definition: Definition = find_definition(Settings.from_environment({}), "bike_demand")
    assert chain_of(build_deploy(definition)) == ["resolve_as_of", "deploy", "verify", "promote"]
