"""The Airflow DAG that ends retirements: once a day it frees what no audit needs, if nobody can undo them."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from plugins.operators.retirements import FreeRetiredOperator

with DAG(
    dag_id="noria_retirements",
    description="Frees what no audit needs of models whose retirement can be undone no more.",
    doc_md="A retired model can be brought back until `retirement.keep` of its definition is over. Then this DAG "
    "removes raw rows, quarantine, values of the past and the artifacts of versions that never answered anybody. The "
    "archive, the registry, scores and logged requests stay. Nothing goes that another model uses.",
    schedule=CronTriggerTimetable("30 3 * * *", timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    tags=["noria"],
    default_args={"owner": "noria", "retries": 2, "retry_delay": timedelta(minutes=10)},
) as dag:
    FreeRetiredOperator(
        task_id="free",
        execution_timeout=timedelta(hours=2),
        doc_md="Runs `python -m include.retirement free`; its output says what was freed of which model.",
    )
