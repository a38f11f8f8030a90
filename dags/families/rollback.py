"""``<model>.rollback``: brings the previous champion back.

A DAG of its own, so that it never queues behind the deployment that it undoes.
"""

from __future__ import annotations

from airflow.sdk import DAG

from dags.families.common import actor_param, frame, reason_param, resolve_as_of, step
from include.spec.definition import Definition

_DOC = "The version that is rolled back is barred: no run deploys it again until a person lifts the bar."


def build_rollback(definition: Definition) -> DAG:
    """The DAG that a person starts for it."""
    dag = frame(
        definition,
        "rollback",
        description=f"Brings the previous champion of {definition.model} back.",
        doc=_DOC,
        params={"reason": reason_param("wrong answers for international flights"), "actor": actor_param()},
    )
    resolve_as_of(dag, definition) >> step(dag, definition, "rollback", from_params=("reason", "actor"))
    return dag
