"""A DAG with one step in a pod, played by ``dag.test()``: true task instances, metadata database and cluster.

``python pod_dag.py <file with a JSON list of plays>``. A play: ``inputs`` of the step, ``models`` (their folder),
``connection`` (extra of noria_kubernetes), ``run`` (id of the DAG run, so that another process can play it again),
``lost_first`` (the first try ends before it has done anything, as after a worker's death).
"""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException

from plugins.operators.step import StepOperator

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins"))
import probe_steps

probe_steps.install()
AS_OF = "2013-10-01T00:00:00-04:00"


class ProbeOperator(StepOperator):
    """A StepOperator whose first try can be lost."""

    lost_first = False

    def execute(self, context: Any) -> Any:
        if self.lost_first and context["ti"].try_number == 1:
            raise AirflowException("as if the worker had died")
        self.inputs = context["params"]["inputs"]
        return super().execute(context)

    def trigger_reentry(self, context: Any, event: Any) -> Any:
        self.inputs = context["params"]["inputs"]
        return super().trigger_reentry(context, event)


with DAG(dag_id="pods", schedule=None, params={"inputs": {}}) as dag:
    step = ProbeOperator(
        task_id="step", model="flight_delay", step="probe", as_of=AS_OF, retries=1, retry_delay=timedelta(0)
    )


def play(told: dict[str, Any]) -> dict[str, Any]:
    """One run; how its task ended, and what it left."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:  # of a process that was killed
        session.execute(delete(DagRun).where(DagRun.run_id == told["run"]))
    os.environ["NORIA_MODELS"] = told["models"]
    os.environ["AIRFLOW_CONN_NORIA_KUBERNETES"] = json.dumps({"conn_type": "kubernetes", "extra": told["connection"]})
    ProbeOperator.lost_first = told.get("lost_first", False)
    DagRun.generate_run_id = staticmethod(lambda **_: told["run"])
    print(f"=== {told['run']} begins", flush=True)
    run = dag.test(run_conf={"inputs": told["inputs"]})
    print(f"=== {told['run']} ends", flush=True)
    (task,) = run.get_task_instances()
    return {
        "state": task.state,
        "tries": task.try_number,
        "output": task.xcom_pull(task_ids="step"),
        "pod": task.xcom_pull(task_ids="step", key="noria_pod"),
        "link": task.xcom_pull(task_ids="step", key="_link_PodLink"),
        "seconds": task.duration,
    }


if __name__ == "__main__":
    from plugins.operators.pods import manifest

    manifest.PROGRAM = ("python", "/noria/probe_steps.py")
    outcomes = {told["run"]: play(told) for told in json.loads(Path(sys.argv[1]).read_text())}
    print("OUTCOMES " + json.dumps(outcomes, default=str), flush=True)
