"""``<model>.restore``: undoes a retirement.

A DAG of its own, so that it never queues behind the retirement that it undoes.
"""

from __future__ import annotations

from airflow.sdk import DAG

from dags.families.common import actor_param, frame, reason_param, resolve_as_of, step
from include.spec.definition import Definition

_DOC = """A model that still answers stays, and its retirement ends; one that is out is in production again with the
versions that it had. Possible until `retirement.keep` is over. Features that were freed are then made anew from the raw
rows, to the same digests, and pass their gate again; training sets are made by the next training."""


def build_restore(definition: Definition) -> DAG:
    """The DAG that a person starts for it."""
    with frame(
        definition,
        "restore",
        description=f"Brings {definition.model} back that is being retired, or was.",
        doc=_DOC,
        params={"reason": reason_param("another service still needs it"), "actor": actor_param()},
    ) as dag:
        pool = definition.execution.data_pool
        restore = step(dag, definition, "restore", from_params=("reason",), from_run=("actor", "request"))
        prepare = step(dag, definition, "prepare", pool=pool)
        gate = step(
            dag,
            definition,
            "gate",
            task_id="gate_features",
            inputs={"stage": "features", "staged": prepare.output},
            pool=pool,
        )
        step(dag, definition, "publish", task_id="publish_features", inputs={"gate": gate.output}, pool=pool)
        resolve_as_of(dag, definition, acts_now=True) >> restore >> prepare
    return dag
