"""News that only Airflow knows: a run that failed, a partition that has not come."""

from __future__ import annotations

from datetime import datetime

from include.alerts.alert import Alert, Places


def failed_task(
    model: str, places: Places, *, run: str, task: str, reason: str, at: datetime, as_of: datetime | None = None
) -> Alert:
    """A task has failed for good; told once for each run, by the first such task.

    :param run: ``<dag id>/<run id>``.
    """
    dag_id, _, run_id = run.partition("/")
    return Alert(
        model=model,
        event="task_failed",
        subject=run_id,
        told_once_for=(run,),
        title=f"{dag_id} failed in the task {task}",
        reason=reason or "The task ended without a word, as one does that is killed. Its log may say more.",
        at=at,
        as_of=as_of,
        run=run,
        links={"run": places.run(run), "dag": places.dag(dag_id)},
        details={"dag": dag_id, "run": run_id, "task": task},
    )


def missed_partition(
    model: str, places: Places, *, key: str, reason: str, at: datetime, run: str, as_of: datetime | None = None
) -> Alert:
    """A partition is not there, or not published, when it should be; told once for each partition.

    :param run: ``<dag id>/<run id>`` of the run that was to ingest it.
    """
    return Alert(
        model=model,
        event="missed_partition",
        subject=key,
        told_once_for=(key,),
        title=f"Partition {key} of {model} is missing",
        reason=reason,
        at=at,
        as_of=as_of,
        run=run,
        links={"run": places.run(run), "dag": places.dag(f"{model}.data")},
        details={"missing": [key]},
    )
