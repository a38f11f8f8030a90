"""What a step may want to know of the Airflow run that it is part of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from airflow.sdk import Context


def actor_of(context: Context) -> str:
    """Who acts: the one named in the form or conf, else the user who triggered the run, else the DAG itself."""
    run = context["dag_run"]
    named = context["params"].get("actor")
    return str(named or run.triggering_user_name or f"airflow:{run.dag_id}")


def request_of(context: Context) -> str:
    """Name of the request that a run is: a retry or a cleared task is the same request."""
    run = context["dag_run"]
    return f"{run.dag_id}/{run.run_id}"


def is_last_try(context: Context) -> bool:
    """Whether Airflow will not try again after this try."""
    task = context["ti"]
    return bool(task.try_number > task.max_tries)


def failed_tasks_of(context: Context) -> list[str]:
    """Names of the run's tasks that have failed, in the order of their names."""
    run = context["dag_run"]
    states = context["ti"].get_task_states(dag_id=run.dag_id, run_ids=[run.run_id]).get(run.run_id, {})
    return sorted(name for name, state in states.items() if state == "failed")


FACTS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "actor": actor_of,
    "request": request_of,
    "deployment": request_of,
    "failed": failed_tasks_of,
    "last_try": is_last_try,
}
