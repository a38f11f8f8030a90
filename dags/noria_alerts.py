"""The Airflow DAG that delivers alerts: every two minutes, whatever else runs or does not."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from plugins.operators.alerts import DeliverAlertsOperator

with DAG(
    dag_id="noria_alerts",
    description="Tells what has happened to the models, and delivers what could not be delivered before.",
    doc_md="Alerts are sent by the task that causes them. This DAG finds what no task could tell (a rollback by the "
    "server, a deployment that is stuck) and tries failed deliveries again, with growing pauses, for a day.",
    schedule=CronTriggerTimetable("*/2 * * * *", timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    tags=["noria"],
    default_args={"owner": "noria", "retries": 0, "execution_timeout": timedelta(minutes=5)},
) as dag:
    DeliverAlertsOperator(
        task_id="deliver",
        doc_md="Looks at ledger, checks and deployments of all models and sends what is due; its output says how many.",
    )
