"""``<model>.monitor``: looks for drift in the newest published data, and starts a training if there is some."""

from __future__ import annotations

from airflow.sdk import DAG

from dags.families.common import AS_OF, frame, resolve_as_of, step
from include.spec.definition import Definition
from plugins.operators.start import RETRAIN_VARIABLE, StartTrainingOperator

_DOC = f"""Drift starts one training for each drift window, if `monitoring.retrain` (`on_drift`, `cooldown`,
`at_most_per_week`) and the Airflow variable `{RETRAIN_VARIABLE}` allow it. The ledger keeps what started it."""


def build_monitor(definition: Definition) -> DAG:
    """The DAG that checks for drift."""
    with frame(
        definition,
        "monitor",
        description=f"Compares {definition.model}'s newest data with the champion's training data.",
        doc=_DOC,
        cron=definition.schedule.monitor,
        params={},
    ) as dag:
        monitor = step(dag, definition, "monitor")
        resolve_as_of(dag, definition, work="monitor") >> monitor
        StartTrainingOperator(
            dag=dag,
            task_id="start_training",
            model=definition.model,
            as_of=AS_OF,
            verdict=monitor.output,
            doc_md=f"Starts `{definition.model}.train` if drift was found; once for each drift window.",
        )
    return dag
