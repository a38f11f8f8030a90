"""The DAGs of a model written by hand: the same tasks, forms, schedules and dependencies, from bare operators.

What Airflow itself costs for such DAGs, with which the cost of building them from a definition is compared.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow.sdk import DAG, Param

_HEAD = '''"""Written by hand."""

from datetime import timedelta

from airflow.sdk import DAG, BaseOperator, CronTriggerTimetable, Param
'''


def written_by_hand(dags: Iterable[DAG]) -> str:
    """A DAG file in the way of Airflow's own examples, with DAGs that are the same but for what their tasks do."""
    return "\n".join([_HEAD, *(_dag(dag) for dag in dags)])


def _dag(dag: DAG) -> str:
    timetable: Any = dag.timetable
    cron = getattr(timetable, "expression", None)
    schedule = f"CronTriggerTimetable({cron!r}, timezone={str(timetable.timezone)!r})" if cron else "None"
    default_args = {name: value for name, value in dag.default_args.items() if not name.startswith("on_")}
    tasks = [_task(task) for task in dag.tasks]
    edges = [f"    {_variable(task.task_id)} >> {_variable(after)}" for task in dag.tasks for after in _after(task)]
    return f"""
with DAG(
    dag_id={dag.dag_id!r},
    description={dag.description!r},
    doc_md={dag.doc_md!r},
    schedule={schedule},
    catchup=False,
    params={{{", ".join(f"{name!r}: {_param(dag.params.get_param(name))}" for name in dag.params)}}},
    tags={sorted(dag.tags)!r},
    max_active_runs={dag.max_active_runs},
    default_args={_literal(default_args)},
):
{chr(10).join([*tasks, *edges])}
"""


def _task(task: Any) -> str:
    return (
        f"    {_variable(task.task_id)} = BaseOperator(task_id={task.task_id!r}, pool={task.pool!r}, "
        f"trigger_rule={str(task.trigger_rule.value)!r}, doc_md={task.doc_md!r})"
    )


def _after(task: Any) -> list[str]:
    return sorted(task.downstream_task_ids)


def _variable(task_id: str) -> str:
    return f"task_{task_id}"


def _param(param: Param) -> str:
    default = f"{param.value!r}, " if _is_set(param) else ""
    return f"Param({default}description={param.description!r}, **{param.schema!r})"


def _is_set(param: Param) -> bool:
    return param.value is None or isinstance(param.value, str | int | float | bool)


def _literal(values: dict[str, Any]) -> str:
    return repr(values).replace("datetime.timedelta", "timedelta")
