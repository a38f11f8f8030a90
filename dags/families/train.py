"""``<model>.train``: from published features to a registered version, and to its deployment if it wins."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from dags.families.common import AS_OF, frame, resolve_as_of, step, wait_param
from include.spec.definition import Definition
from plugins.operators.start import StartDeploymentOperator
from plugins.sensors.partitions import PublishedPartitionsSensor

_DOC = """Waits until the features that the windows need are published. The newest partition is waited for as long as
`training.wait_for_data` says; days of the past come only by a run of the data DAG, and without one the run fails at
once and names them. Up to `training.max_missing_partitions` may be missing in the end.
The challenger is deployed only if *decide* says so; a backfilled older model never replaces a newer champion."""


def build_train(definition: Definition) -> DAG:
    """The DAG that trains and judges a challenger."""
    with frame(
        definition,
        "train",
        description=f"Trains {definition.model} as of an instant and deploys it if it wins.",
        doc=_DOC,
        cron=definition.schedule.train,
        params={
            "wait_minutes": wait_param(),
            "started_by": Param(
                None,
                type=["null", "string"],
                maxLength=200,
                title="Started by",
                description_md="What started this training, for the record; a check that starts one fills it in.",
            ),
        },
    ) as dag:
        pool = definition.execution.training_pool
        resolved = resolve_as_of(dag, definition, work="train")
        await_data = PublishedPartitionsSensor(
            dag=dag,
            task_id="await_data",
            model=definition.model,
            as_of=AS_OF,
            doc_md="Waits, without a worker slot, for the published features that the training's windows need.",
        )
        assemble = step(dag, definition, "assemble", pool=pool)
        gate_training = step(
            dag,
            definition,
            "gate",
            task_id="gate_training",
            inputs={"stage": "training", "training_set": assemble.output},
        )
        train = step(
            dag,
            definition,
            "train",
            inputs={"training_set": assemble.output},
            pool=pool,
        )
        gate_predictions = step(
            dag,
            definition,
            "gate",
            task_id="gate_predictions",
            inputs={"stage": "predictions", "training": train.output},
        )
        publish_predictions = step(
            dag, definition, "publish", task_id="publish_predictions", inputs={"gate": gate_predictions.output}
        )
        evaluate = step(dag, definition, "evaluate", inputs={"training": train.output}, pool=pool)
        decide = step(
            dag,
            definition,
            "decide",
            inputs={"training": train.output, "evaluation": evaluate.output},
            from_params=("started_by",),
        )
        register = step(
            dag,
            definition,
            "register",
            inputs={"training": train.output, "evaluation": evaluate.output, "decision": decide.output},
        )
        StartDeploymentOperator(
            dag=dag,
            task_id="start_deployment",
            model=definition.model,
            as_of=AS_OF,
            decision=decide.output,
            registered=register.output,
            doc_md=f"Starts `{definition.model}.deploy` if *decide* said promote; skipped otherwise.",
        )
        resolved >> await_data >> assemble
        gate_training >> train
        publish_predictions >> evaluate
    return dag
