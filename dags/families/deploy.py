"""``<model>.deploy``: a version's way into production, through the stages that the definition names, or out again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from itertools import pairwise
from typing import Any

from airflow.sdk import DAG, BaseOperator, Param

from dags.families.common import AS_OF, actor_param, force_param, frame, resolve_as_of, step
from include.spec.definition import Definition
from include.spec.production import Stage
from include.steps.rollout import AS_DEFINED, STRAIGHT
from plugins.notifiers.runs import NewsNotifier
from plugins.operators.approval import REJECTION, ApproveChallengerOperator, note_param
from plugins.operators.step import StepOperator
from plugins.sensors.stages import StageSensor

_DOC = """*deploy* makes the version the challenger, which answers nobody yet; *verify* sends holdout rows to it through
the live server. Each stage is entered and then waited for, without a worker slot, until there is enough evidence. The
server judges by itself, with Airflow or without: a challenger that does harm, or whose stage times out, is withdrawn,
and the run ends at *withdraw*, which says why. Only *promote* changes the champion. A model's first version skips the
stages: there is nothing to compare it with.

To stop a deployment, mark its run failed (*withdraw* takes the challenger out) or trigger the model's rollback DAG."""

# A training run also gives the champion that its decision was made against, and the evidence for the ledger.
_DEPLOY = ("version", "reason", "force", "expected_champion", "evidence")
_GO_ON = ("version", "reason", "force", "stages")
_RUN = ("actor", "deployment")
# Templates and no XComArgs, which would tie the approval to tasks that do not follow it.
_APPROVAL = {
    "approved_by": "{{ ti.xcom_pull(task_ids='approve')['approved_by'] }}",
    "note": "{{ ti.xcom_pull(task_ids='approve')['note'] }}",
}
_REJECTION = {
    "rejection": f"{{{{ (ti.xcom_pull(task_ids='approve', key='{REJECTION}') or {{}}).get('reason', '') }}}}",
    "rejected_by": f"{{{{ (ti.xcom_pull(task_ids='approve', key='{REJECTION}') or {{}}).get('by', '') }}}}",
}
_AS_OF_OR_NOW = AS_OF.replace(" }}", " or dag_run.run_after.isoformat() }}")


def build_deploy(definition: Definition) -> DAG:
    """The DAG that deploys a version."""
    with frame(
        definition,
        "deploy",
        description=f"Takes a version of {definition.model} into production: {_way(definition)}.",
        doc=_DOC,
        params=_form(),
    ) as dag:
        resolved = resolve_as_of(dag, definition, acts_now=True)
        deploy = step(dag, definition, "deploy", from_params=_DEPLOY, from_run=_RUN)
        verify = step(dag, definition, "verify", from_params=("version",), from_run=(*_RUN, "last_try"))
        chain: list[BaseOperator] = [resolved, deploy, verify, *_way_on(dag, definition, verify)]
        for before, after in pairwise(chain):
            before >> after
        for task in chain[2:]:
            # The challenger is in: *withdraw* takes it out with the reason, and that is what people are told.
            task.on_failure_callback = [NewsNotifier(definition.model)]
        _withdraw(dag, definition, chain)
    return dag


def _way(definition: Definition) -> str:
    """The way into production in words."""
    stages = [stage.name for stage in definition.deployment.stages]
    if definition.deployment.approval == "required":
        stages.insert(int(stages[0] == "shadow"), "approval")
    return " → ".join(["verify", *stages])


def _form() -> dict[str, Param]:
    return {
        "version": Param(type="integer", minimum=1, title="Version", description_md="A registered version."),
        "reason": Param(
            "deployed by hand",
            type="string",
            minLength=3,
            maxLength=1000,
            title="Reason",
            description_md="Goes into the ledger.",
        ),
        "stages": Param(
            AS_DEFINED,
            enum=[AS_DEFINED, STRAIGHT],
            title="Stages",
            description_md=f"*{STRAIGHT}* leaves out shadow, canary and A/B; verification and approval stay.",
        ),
        "actor": actor_param(),
        "force": force_param("Deploy it even if the champion was trained as of a later instant."),
    }


def _way_on(dag: DAG, definition: Definition, verify: StepOperator) -> list[BaseOperator]:
    """What follows verify: each stage and its wait, the approval where it belongs, promote."""
    tasks: list[BaseOperator] = []
    judged: dict[str, Any] = {}
    approved: Mapping[str, str] = {}
    to_be_asked = definition.deployment.approval == "required"
    for stage in definition.deployment.stages:
        if to_be_asked and stage.kind != "shadow":
            tasks += _approval(dag, definition, {**judged, "verified": verify.output})
            approved, to_be_asked = _APPROVAL, False
        inputs = {**judged, **approved}
        if stage.kind == "champion":
            tasks.append(step(dag, definition, "promote", inputs=inputs, from_params=_GO_ON, from_run=_RUN))
            continue
        entered = _enter(dag, definition, stage, inputs)
        awaited = _await(dag, definition, stage, entered)
        judged = {"judgement": awaited.output}
        tasks += [entered, awaited]
    return tasks


def _enter(dag: DAG, definition: Definition, stage: Stage, inputs: Mapping[str, Any]) -> StepOperator:
    return step(
        dag,
        definition,
        "stage",
        task_id=stage.name,
        inputs={"stage": stage.name, **inputs},
        from_params=_GO_ON,
        from_run=_RUN,
    )


def _await(dag: DAG, definition: Definition, stage: Stage, entered: StepOperator) -> StageSensor:
    return StageSensor(
        dag=dag,
        task_id=f"await_{stage.name}",
        model=definition.model,
        entered=entered.output,
        doc_md=f"Waits, without a worker slot, until the server has seen enough of the challenger in {stage.name}. "
        "Fails at once with the ledger's reason when the challenger is out.",
    )


def _approval(dag: DAG, definition: Definition, inputs: Mapping[str, Any]) -> list[BaseOperator]:
    """The question, and the wait for a person's answer."""
    ask = step(dag, definition, "ask", inputs=inputs, from_params=("version", "reason", "force"), from_run=_RUN)
    approve = ApproveChallengerOperator(
        dag=dag,
        task_id="approve",
        model=definition.model,
        asked=ask.output,
        subject="{{ ti.xcom_pull(task_ids='ask')['subject'] }}",
        body="{{ ti.xcom_pull(task_ids='ask')['body'] }}",
        params={"note": note_param()},
        response_timeout=timedelta(days=30),  # the question's own deadline comes first
        doc_md="Waits, without a worker slot, for a person's decision under *Required Actions*. Fails at once with "
        "the ledger's reason when the challenger is out.",
    )
    return [ask, approve]


def _withdraw(dag: DAG, definition: Definition, chain: list[BaseOperator]) -> None:
    """The end of every run: skipped if the version is champion, else it takes the challenger out and is red.

    A teardown, because that also runs when a person marks the run failed; its failure is the run's.
    """
    resolved, *others = chain
    withdraw = step(
        dag,
        definition,
        "withdraw",
        inputs=_REJECTION,
        from_params=("version",),
        from_run=(*_RUN, "failed"),
    )
    withdraw.as_of = _AS_OF_OR_NOW
    others >> withdraw
    withdraw.as_teardown(setups=resolved, on_failure_fail_dagrun=True)
