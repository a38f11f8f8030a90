"""What all families share: a DAG's frame, its form's fields, and tasks with the definition's retries and pools."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, CronTriggerTimetable, Param
from airflow.sdk.definitions.deadline import DeadlineAlert
from airflow.sdk.definitions.param import ParamsDict

from include.spec.definition import Definition, PartitionSize
from plugins.notifiers.runs import FailureNotifier, NewsNotifier
from plugins.operators.as_of import ResolveAsOfOperator
from plugins.operators.step import StepOperator

KEY_PATTERNS: dict[PartitionSize, tuple[str, str]] = {
    "hour": (r"^\d{4}-\d{2}-\d{2}T\d{2}(\+1)?$", "2013-10-01T05"),
    "day": (r"^\d{4}-\d{2}-\d{2}$", "2013-10-01"),
    "month": (r"^\d{4}-\d{2}$", "2013-10"),
}
# A template and no XComArg: an XComArg would tie every task to the first one, in the graph and in trigger rules.
AS_OF = "{{ ti.xcom_pull(task_ids='resolve_as_of') }}"
_URGENT = 1000
# Steps after whose success there may be something to tell; what fails is told anyway.
_STEPS_WITH_NEWS = frozenset({"monitor", "decide", "promote", "rollback"})
_INSTANT = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})$"


@contextmanager
def frame(
    definition: Definition,
    family: str,
    *,
    description: str,
    doc: str,
    params: Mapping[str, Param],
    cron: str | None = None,
    max_active_runs: int = 1,
    urgent: bool = False,
    deadline: DeadlineAlert | None = None,
) -> Iterator[DAG]:
    """A DAG ``<model>.<family>``, to be filled with tasks within the context.

    It has no start date: with one, Airflow would start last night's run as soon as the DAG is not paused. The first
    scheduled run is the next one; the past is for backfills.

    :param params: the form's fields. The DAG has them when the context ends: each task that is made while a DAG has
        fields gets a copy of all, which Airflow copies and checks several times, most of the time of a parse.
    :param urgent: its tasks take the next free worker slot, before those of chains that have come far, which weigh more
        otherwise.
    :param deadline: what is done when a run takes too long.
    """
    execution = definition.execution
    dag = DAG(
        dag_id=f"{definition.model}.{family}",
        description=description,
        doc_md=f"{description}\n\n{doc}\n\n*{definition.description}* Owner: {definition.owner}. "
        f"Definition: `include/models/{definition.model}.yaml`.",
        schedule=_timetable(cron, definition.source.time_zone) if cron else None,
        catchup=False,
        tags=[definition.model, family, *definition.tags],
        max_active_runs=max_active_runs,
        deadline=deadline,
        default_args={
            "owner": definition.owner,
            "retries": execution.retries,
            "retry_delay": execution.retry_delay,
            "execution_timeout": execution.timeout,
            "on_failure_callback": FailureNotifier(definition.model),
            # A run that has begun goes on before another begins (ADR-weights.md).
            **({"priority_weight": _URGENT, "weight_rule": "absolute"} if urgent else {"weight_rule": "upstream"}),
        },
    )
    yield dag
    dag.params.update(ParamsDict({"as_of": as_of_param(definition), **params}))


def _timetable(cron: str, time_zone: str) -> CronTriggerTimetable:
    # False would still start a run that was due up to a tenth of the period ago; zero never looks back.
    return CronTriggerTimetable(cron, timezone=time_zone, run_immediately=timedelta(0))


def resolve_as_of(
    dag: DAG, definition: Definition, *, acts_now: bool = False, work: str | None = None
) -> ResolveAsOfOperator:
    """The first task of every run; all others take its output through :data:`AS_OF`.

    :param acts_now: whether the run acts on what is deployed and not on data.
    :param work: what it does, if a nightly run of it is to be skipped while the model is retired.
    """
    return ResolveAsOfOperator(
        dag=dag,
        task_id="resolve_as_of",
        model=definition.model,
        acts_now=acts_now,
        work=work,
        execution_timeout=timedelta(minutes=5),
        doc_md="Settles the instant that the whole run keeps: the form's, else the end of the run's partition or data "
        "interval; never the wall clock.",
    )


def step(
    dag: DAG,
    definition: Definition,
    name: str,
    *,
    task_id: str | None = None,
    inputs: Mapping[str, Any] | None = None,
    from_params: Sequence[str] = (),
    from_run: Sequence[str] = (),
    pool: str = "default_pool",
    **kwargs: Any,
) -> StepOperator:
    """The task that runs one step."""
    return StepOperator(
        dag=dag,
        task_id=task_id or name,
        model=definition.model,
        step=name,
        as_of=AS_OF,
        inputs=inputs,
        from_params=from_params,
        from_run=from_run,
        threads=definition.training.resources.cpu,
        pool=pool,
        **({"on_success_callback": NewsNotifier(definition.model)} if name in _STEPS_WITH_NEWS else {}),
        **kwargs,
    )


def _otherwise(definition: Definition) -> str:
    """What the run's instant is if nobody names one."""
    if definition.source.has_time:
        return "the end of the run's partition or data interval; for an archive its end"
    return "the end of the run's data interval, else the moment at which the run was asked for"


def as_of_param(definition: Definition) -> Param:
    """The run's instant."""
    return Param(
        None,
        type=["null", "string"],
        pattern=_INSTANT,
        title="As of",
        description_md="Instant with offset, such as `2013-10-01T00:00:00-04:00`: nothing newer is used. Empty: "
        f"{_otherwise(definition)}.",
    )


def key_param(definition: Definition, title: str, otherwise: str) -> Param:
    """A partition's key."""
    pattern, example = KEY_PATTERNS[definition.source.partition]
    return Param(
        None,
        type=["null", "string"],
        pattern=pattern,
        title=title,
        description_md=f"A {definition.source.partition}, such as `{example}`. Empty: {otherwise}.",
    )


def range_params(definition: Definition, otherwise: str) -> dict[str, Param]:
    """The fields for a range of partitions; data without time is one whole and has none."""
    if not definition.source.has_time:
        return {}
    return {
        "first": key_param(definition, "First partition", otherwise),
        "last": key_param(definition, "Last partition", otherwise),
    }


def force_param(what: str) -> Param:
    """A yes-or-no field."""
    return Param(False, type="boolean", title="Force", description_md=what)


def wait_param() -> Param:
    """How long to wait for data."""
    return Param(
        None,
        type=["null", "integer"],
        minimum=0,
        maximum=7 * 24 * 60,
        title="Wait (minutes)",
        description_md="How long to wait for data that is not there. Empty: `training.wait_for_data` for the newest "
        "partition, not at all for the past.",
    )


def actor_param() -> Param:
    """Who acts."""
    return Param(
        None,
        type=["null", "string"],
        minLength=1,
        maxLength=200,
        title="Actor",
        description_md="Who does this, for the ledger. Empty: the user who triggers the run.",
    )


def reason_param(example: str) -> Param:
    """Why somebody acts; must be given."""
    return Param(
        type="string",
        minLength=3,
        maxLength=1000,
        title="Reason",
        description_md=f"Goes into the ledger, such as *{example}*.",
    )
