"""``<model>.deploy``: makes a version the champion and proves it on the live server."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from dags.families.common import actor_param, force_param, frame, resolve_as_of, step
from include.spec.definition import Definition

_DOC = """*deploy* switches the champion in one transaction and keeps the previous one; *verify* sends holdout rows
through the live server, and any difference from the batch path's answers rolls back and bars the version."""

# A training run also gives the champion that its decision was made against, and the evidence for the ledger.
_INPUTS = ("version", "reason", "force", "expected_champion", "evidence")


def build_deploy(definition: Definition) -> DAG:
    """The DAG that deploys a version."""
    dag = frame(
        definition,
        "deploy",
        description=f"Makes a version of {definition.model} the champion, and verifies it.",
        doc=_DOC,
        params={
            "version": Param(type="integer", minimum=1, title="Version", description_md="A registered version."),
            "reason": Param(
                "deployed by hand",
                type="string",
                minLength=3,
                maxLength=1000,
                title="Reason",
                description_md="Goes into the ledger.",
            ),
            "actor": actor_param(),
            "force": force_param("Deploy it even if the champion was trained as of a later instant."),
        },
    )
    resolved = resolve_as_of(dag, definition, acts_now=True)
    deploy = step(dag, definition, "deploy", from_params=_INPUTS, from_run=("actor",))
    verify = step(dag, definition, "verify", from_params=("version",), from_run=("actor", "last_try"))
    resolved >> deploy >> verify
    return dag
