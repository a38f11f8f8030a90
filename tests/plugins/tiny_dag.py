"""A small Airflow DAG of probe steps, run by ``dag.test()`` in a process with a migrated database of its own."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG, Param

from dags.families.common import AS_OF
from plugins.operators import local
from plugins.operators.as_of import ResolveAsOfOperator
from plugins.operators.step import StepOperator

sys.path.insert(0, str(Path(__file__).parent))
import probe_steps

probe_steps.install()
local.PROGRAM = (sys.executable, probe_steps.__file__)


def probe(dag: DAG, task_id: str, **kwargs: object) -> StepOperator:
    return StepOperator(
        dag=dag, task_id=task_id, model="flight_delay", step="probe", as_of=AS_OF, retry_delay=timedelta(0), **kwargs
    )


with DAG(dag_id="tiny", schedule=None, params={"as_of": Param(None, type=["null", "string"]), "x": 1}) as dag:
    resolved = ResolveAsOfOperator(task_id="resolve_as_of", model="flight_delay")
    first = probe(dag, "first", from_params=("x", "not_there", "only_in_conf"), from_run=("actor", "last_try"))
    second = probe(dag, "second", inputs={"before": first.output})
    skipped = probe(dag, "skipped", inputs={"raise": "nothing"})
    after = probe(dag, "after_skipped", inputs={"before": skipped.output})
    refused = probe(dag, "refused", inputs={"raise": "refused", "message": "day 5 was refused"}, retries=3)
    resolved >> [first, skipped, refused]

if __name__ == "__main__":
    run = dag.test(run_conf={"as_of": "2013-10-06T12:00:00-04:00", "x": 2, "only_in_conf": None})
    states = {ti.task_id: [ti.state, ti.try_number] for ti in run.get_task_instances()}
    outputs = {ti.task_id: ti.xcom_pull(task_ids=ti.task_id) for ti in run.get_task_instances()}
    print(json.dumps({"run": run.state, "states": states, "outputs": outputs}))
