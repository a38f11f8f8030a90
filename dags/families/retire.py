"""``<model>.retire``: takes the model out of production, in peace, and keeps what audits need."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from dags.families.common import actor_param, frame, reason_param, resolve_as_of, step
from include.spec.definition import Definition
from plugins.sensors.drain import DrainSensor

_DOC = """*drain* takes a challenger out and lets nothing new in; the server answers on, with the headers `Deprecation`
and `Sunset`. *await_quiet* waits, without a worker slot, until nobody has asked for `retirement.quiet`, at most
`retirement.drain`. *retire* ends it: from then on callers get 410. *archive* keeps what audits need; *free* frees what
can be made anew bit for bit. The rest goes when `retirement.keep` is over.

To undo it, while it drains or until `retirement.keep` is over: trigger the model's *restore* DAG, or *Bring back…* on
the console. A run that broke off is finished by the next one."""


def build_retire(definition: Definition) -> DAG:
    """The DAG that a person starts for it."""
    with frame(
        definition,
        "retire",
        description=f"Takes {definition.model} out of production.",
        doc=_DOC,
        params={
            "reason": reason_param("replaced by another model"),
            "actor": actor_param(),
            "drain_minutes": Param(
                None,
                type=["null", "integer"],
                minimum=0,
                maximum=366 * 24 * 60,
                title="Drain (minutes)",
                description_md="How long it answers at most. Empty: `retirement.drain`; 0: it leaves at once.",
            ),
        },
    ) as dag:
        resolved = resolve_as_of(dag, definition, acts_now=True)
        drain = step(dag, definition, "drain", from_params=("reason", "drain_minutes"), from_run=("actor", "request"))
        quiet = DrainSensor(
            dag=dag,
            task_id="await_quiet",
            model=definition.model,
            drained=drain.output,
            doc_md="Waits, without a worker slot, until nobody asks for the model any more, or its time is over. Skips "
            "the rest of the run when a person has undone the retirement.",
        )
        retire = step(
            dag,
            definition,
            "retire",
            inputs={"drained": drain.output},
            from_params=("reason",),
            from_run=("actor", "request"),
        )
        inputs = {"retired": retire.output}
        archive = step(dag, definition, "archive", inputs=inputs, from_run=("actor",))
        free = step(dag, definition, "free", inputs=inputs, from_run=("actor",))
        resolved >> drain >> quiet >> retire >> archive >> free
    return dag
