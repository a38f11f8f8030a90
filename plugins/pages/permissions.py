"""What a user may do with models: what Airflow's auth manager lets him do with their DAGs, and nothing more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated, Any, Final

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.configuration import conf
from airflow.models.dag import DagModel
from fastapi import Depends, HTTPException

from include.lake.paths import UnsafeName, checked_model

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

FAMILY: Final = "train"
"""Every model has this DAG; who may look at it may look at the model."""


def readable_models(models: Collection[str], user: Any, session: Session) -> set[str]:
    """Those of the models that the user may look at."""
    dags = {f"{model}.{FAMILY}": model for model in models}
    by_team: dict[str | None, set[str]] = defaultdict(set)
    with_teams = conf.getboolean("core", "multi_team", fallback=False)
    teams = DagModel.get_dag_id_to_team_name_mapping(list(dags), session=session) if with_teams else {}
    for dag_id in dags:
        by_team[teams.get(dag_id)].add(dag_id)
    manager = get_auth_manager()
    allowed: set[str] = set()
    for team, dag_ids in by_team.items():
        allowed |= manager.filter_authorized_dag_ids(dag_ids=dag_ids, user=user, method="GET", team_name=team)
    return {dags[dag_id] for dag_id in allowed}


def may_start(dag_id: str, user: Any) -> bool:
    """Whether the user may start runs of the DAG: what Airflow's own API asks when he does."""
    return _may("POST", DagAccessEntity.RUN, dag_id, user)


def may_answer(dag_id: str, user: Any) -> bool:
    """Whether the user may answer questions of the DAG's runs."""
    return _may("PUT", DagAccessEntity.HITL_DETAIL, dag_id, user)


def readable_model(model: str, user: GetUserDep, session: SessionDep) -> str:
    """The model that a path names, for a user who may look at it; else 403, also if there is none of that name."""
    try:
        checked_model(model)
    except UnsafeName:
        raise HTTPException(404, "There is no model of that name.") from None
    if not readable_models([model], user, session):
        raise HTTPException(403, "Forbidden")
    return model


def _may(method: Any, entity: DagAccessEntity, dag_id: str, user: Any) -> bool:
    details = DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))
    return bool(get_auth_manager().is_authorized_dag(method=method, access_entity=entity, details=details, user=user))


ReadableModel = Annotated[str, Depends(readable_model)]
