"""What Airflow itself knows of models: their DAGs, runs under way, next runs, open questions."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.hitl import HITLDetail
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import Text, and_, any_, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by

from include.spec.families import FAMILIES

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

RUNS: Final = 20
_UNDER_WAY: Final = ("queued", "running")


@dataclass(frozen=True, kw_only=True)
class DagFacts:
    """One DAG of a model."""

    dag_id: str
    family: str
    paused: bool


@dataclass(frozen=True, kw_only=True)
class NextRun:
    """What the schedules of a model start next."""

    dag_id: str
    family: str
    next_run: datetime


@dataclass(frozen=True, kw_only=True)
class ModelRuns:
    """The runs of a model.

    :param owner: whose the model is; None without DAGs.
    :param paused: whether all its DAGs are.
    :param under_way: families whose runs are queued or running.
    :param questions: how many challengers wait for a person.
    """

    owner: str | None = None
    paused: bool = False
    next_run: NextRun | None = None
    under_way: tuple[str, ...] = ()
    questions: int = 0


def models_with_dags(session: Session) -> set[str]:
    """Names of all models whose DAGs Airflow has."""
    query = select(DagModel.dag_id).where(DagModel.dag_id.like("%.train"), ~DagModel.is_stale)
    return {dag_id.removesuffix(".train") for dag_id in session.scalars(query)}


def read_runs(session: Session, models: Collection[str]) -> dict[str, ModelRuns]:
    """What is known of these models' runs, in three queries however many they are.

    The database puts together what belongs to a model: of a thousand models there are seven thousand DAGs.
    """
    under_way: dict[str, set[str]] = {}
    for dag_id in session.scalars(select(DagRun.dag_id).where(DagRun.state.in_(_UNDER_WAY)).distinct()):
        model, _, family = dag_id.partition(".")
        under_way.setdefault(model, set()).add(family)
    questions = {row.dag_id.partition(".")[0]: row.open for row in session.execute(_open_questions())}
    found = {
        model: ModelRuns(
            owner=owner, paused=paused, next_run=_next_run(due[0], at) if due else None,
            under_way=tuple(sorted(under_way.get(model, ()))), questions=questions.get(model, 0),
        )
        for model, owner, paused, due, at in session.execute(_arrangements(models))
    }  # fmt: skip
    return {model: found.get(model, ModelRuns()) for model in models}


def _arrangements(models: Collection[str]) -> Any:
    """For each model its owner, whether it is paused, and its scheduled DAGs, the next one first."""
    model = func.split_part(DagModel.dag_id, ".", 1)
    due = and_(~DagModel.is_paused, DagModel.next_dagrun_create_after.is_not(None))
    by_time = aggregate_order_by(DagModel.dag_id, DagModel.next_dagrun_create_after)
    columns = (
        model, func.min(func.nullif(DagModel.owners, "")), func.bool_and(DagModel.is_paused),
        func.array_agg(by_time).filter(due), func.min(DagModel.next_dagrun_create_after).filter(due),
    )  # fmt: skip
    ours = (~DagModel.is_stale, func.split_part(DagModel.dag_id, ".", 2).in_(FAMILIES))
    return select(*columns).where(*ours, model == any_(literal(sorted(models), ARRAY(Text)))).group_by(model)


def _next_run(dag_id: str, at: datetime) -> NextRun:
    return NextRun(dag_id=dag_id, family=dag_id.partition(".")[2], next_run=at)


def dags_of(session: Session, model: str) -> dict[str, DagFacts]:
    """The DAGs of a model that Airflow has, by family."""
    columns = (DagModel.dag_id, DagModel.is_paused)
    query = select(*columns).where(~DagModel.is_stale, DagModel.dag_id.in_([f"{model}.{name}" for name in FAMILIES]))
    return {
        (family := row.dag_id.partition(".")[2]): DagFacts(dag_id=row.dag_id, family=family, paused=row.is_paused)
        for row in session.execute(query)
    }


def _open_questions() -> Any:
    asked = select(TaskInstance.dag_id, func.count().label("open")).join(
        HITLDetail, HITLDetail.ti_id == TaskInstance.id
    )
    return asked.where(*_open()).group_by(TaskInstance.dag_id)


def _open() -> tuple[Any, ...]:
    return HITLDetail.responded_at.is_(None), TaskInstance.state.in_(("deferred", "awaiting_input"))


def questions_of(session: Session, model: str) -> list[dict[str, Any]]:
    """The open questions about a model's challengers: where to answer, subject, body (Markdown), options."""
    columns = (
        TaskInstance.dag_id, TaskInstance.run_id, TaskInstance.task_id, TaskInstance.map_index,
        HITLDetail.subject, HITLDetail.body, HITLDetail.options, HITLDetail.created_at,
    )  # fmt: skip
    asked = select(*columns).join(HITLDetail, HITLDetail.ti_id == TaskInstance.id)
    query = asked.where(TaskInstance.dag_id == f"{model}.deploy", *_open()).order_by(HITLDetail.created_at)
    return [dict(row._mapping) for row in session.execute(query)]


def newest_runs(session: Session, model: str) -> list[dict[str, Any]]:
    """The newest runs of a model's DAGs, newest first."""
    columns = (
        DagRun.dag_id, DagRun.run_id, DagRun.state, DagRun.run_type, DagRun.run_after, DagRun.start_date,
        DagRun.end_date, DagRun.triggering_user_name,
    )  # fmt: skip
    names = [f"{model}.{family}" for family in FAMILIES]
    query = select(*columns).where(DagRun.dag_id.in_(names)).order_by(DagRun.run_after.desc(), DagRun.id.desc())
    return [dict(row._mapping) for row in session.execute(query.limit(RUNS))]
