"""``<model>.data``: from the source through two gates into the raw and the features table."""

from __future__ import annotations

from airflow.sdk import DAG, TriggerRule
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from dags.families.common import AS_OF, force_param, frame, range_params, resolve_as_of, step, wait_param
from include.spec.definition import Definition
from plugins.notifiers.deadline import MissedPartitionNotifier
from plugins.sensors.partitions import PartitionArrivedSensor

_DOC = """Every partition is judged whole by Great Expectations; a refused one goes to quarantine and is not published,
and the run ends red. Run it again as often as you like: what is the same is not written again.
Without *first* and *last* the run takes the partition that ends at its as-of instant, and waits for its file."""

_WHOLE_DOC = """The data has no time: the run takes all that the source holds, waits for its file, and replaces what
was published if it differs; older versions of the tables keep it. It is judged whole by Great Expectations; refused, it
goes to quarantine and is not published, and the run ends red. What is the same is not written again."""


def build_data(definition: Definition) -> DAG:
    """The DAG that ingests partitions."""
    with frame(
        definition,
        "data",
        description=f"Ingests {definition.model}'s data, {_portion(definition)}.",
        doc=_DOC if definition.source.has_time else _WHOLE_DOC,
        cron=definition.schedule.data,
        max_active_runs=2,
        deadline=DeadlineAlert(
            reference=DeadlineReference.DAGRUN_QUEUED_AT,
            interval=definition.alerts.data_deadline,
            callback=AsyncCallback(MissedPartitionNotifier, kwargs={"model": definition.model}),
        ),
        params={
            **range_params(definition, "the run's own partition"),
            "force": force_param("Ingest again even if the source file is the same."),
            "wait_minutes": wait_param(),
        },
    ) as dag:
        pool = definition.execution.data_pool
        resolved = resolve_as_of(dag, definition, work="data")
        arrived = PartitionArrivedSensor(
            dag=dag,
            task_id="await_partition",
            model=definition.model,
            as_of=AS_OF,
            doc_md="Waits, without a worker slot, for the file of the run's partition. A range does not wait.",
        )
        ingest = step(dag, definition, "ingest", from_params=("first", "last", "force"), pool=pool)
        gate_raw = step(
            dag, definition, "gate", task_id="gate_raw", inputs={"stage": "raw", "staged": ingest.output}, pool=pool
        )
        publish_raw = step(
            dag, definition, "publish", task_id="publish_raw", inputs={"gate": gate_raw.output}, pool=pool
        )
        prepare = step(
            dag, definition, "prepare", inputs={"published": publish_raw.output}, from_params=("force",), pool=pool
        )
        gate_features = step(
            dag,
            definition,
            "gate",
            task_id="gate_features",
            inputs={"stage": "features", "staged": prepare.output},
            pool=pool,
        )
        publish_features = step(
            dag, definition, "publish", task_id="publish_features", inputs={"gate": gate_features.output}, pool=pool
        )
        step(
            dag,
            definition,
            "audit",
            inputs={"raw": gate_raw.output, "features": gate_features.output, "published": publish_features.output},
            # Also when later steps had nothing to do, but not when there was nothing at all.
            trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
        )
        resolved >> arrived >> ingest
    return dag


def _portion(definition: Definition) -> str:
    """How much of it a run takes, in words."""
    return f"one {definition.source.partition} at a time or a range" if definition.source.has_time else "all at once"
