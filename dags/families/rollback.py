"""``<model>.rollback``: brings the previous champion back.

A DAG of its own, so that it never queues behind the deployment that it undoes.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param

from dags.families.common import actor_param, frame, reason_param, resolve_as_of, step
from include.spec.definition import Definition

_DOC = """The version that is rolled back is barred, unless the form says otherwise. A retry does not go back twice.
A challenger that is on its way leaves with the champion that it was compared with, and its deployment ends; only to
stop a deployment, mark its run failed instead."""


def build_rollback(definition: Definition) -> DAG:
    """The DAG that a person starts for it."""
    with frame(
        definition,
        "rollback",
        description=f"Brings the previous champion of {definition.model} back.",
        doc=_DOC,
        params={
            "reason": reason_param("wrong answers for international flights"),
            "actor": actor_param(),
            "to_version": Param(
                None,
                type=["null", "integer"],
                minimum=1,
                title="To version",
                description_md="The version to go back to. Empty: the previous champion.",
            ),
            "bar": Param(
                True,
                type="boolean",
                title="Bar",
                description_md="Bar the version that is rolled back, until a person lifts the bar.",
            ),
        },
        urgent=True,
    ) as dag:
        resolve_as_of(dag, definition, acts_now=True) >> step(
            dag, definition, "rollback", from_params=("reason", "to_version", "bar"), from_run=("actor", "request")
        )
    return dag
