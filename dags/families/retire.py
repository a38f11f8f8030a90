"""``<model>.retire``: takes the model out of production."""

from __future__ import annotations

from airflow.sdk import DAG

from dags.families.common import actor_param, frame, reason_param, resolve_as_of, step
from include.spec.definition import Definition

_DOC = """The server stops answering for it; versions, data and ledger stay. A deployment that is under way ends."""


def build_retire(definition: Definition) -> DAG:
    """The DAG that a person starts for it."""
    with frame(
        definition,
        "retire",
        description=f"Takes {definition.model} out of production.",
        doc=_DOC,
        params={"reason": reason_param("replaced by another model"), "actor": actor_param()},
    ) as dag:
        resolve_as_of(dag, definition, acts_now=True) >> step(
            dag, definition, "retire", from_params=("reason",), from_run=("actor",)
        )
    return dag
