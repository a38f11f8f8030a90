"""Brings MLflow's aliases to what the deployment state says, however often and from wherever it is called."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, select

from include.errors import TryAgain
from include.registry import database
from include.registry.mlflow_client import connect, summary
from include.registry.roles import CHALLENGER_ROLES
from include.registry.tables import deployment_state, outbox
from include.settings import Settings

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

ALIASES = ("champion", "previous", "challenger")
_log = logging.getLogger(__name__)


def deliver(settings: Settings, model: str | None = None) -> list[str]:
    """Bring MLflow's aliases ``champion``, ``previous`` and ``challenger`` to the deployment state of now.

    Rows of the outbox only say that a model has changed; what is delivered is the state at delivery, one delivery of a
    model at a time, so that the newest state always ends up in MLflow. Never raises for an MLflow or a database that
    is away: the rows stay for the next call.

    :param model: only this one; all if left out.
    :returns: the models that are still not delivered.
    """
    try:
        return [name for name in _waiting(settings, model) if not _deliver_one(settings, name)]
    except TryAgain as error:
        _log.warning("MLflow's aliases are not brought along now, the next delivery does it: %s", error)
        return [model] if model else []


def _waiting(settings: Settings, model: str | None) -> list[str]:
    query = select(outbox.c.model).where(outbox.c.delivered_at.is_(None)).distinct().order_by(outbox.c.model)
    with database.transaction(settings.database_url) as connection:
        return list(connection.scalars(query if model is None else query.where(outbox.c.model == model)))


def _deliver_one(settings: Settings, model: str) -> bool:
    with database.transaction(settings.database_url) as connection:
        database.lock_until_commit(connection, "outbox", model)
        open_rows = list(
            connection.scalars(select(outbox.c.id).where(outbox.c.model == model, outbox.c.delivered_at.is_(None)))
        )
        if not open_rows:
            return True
        problem = _reconcile(settings, connection, model)
        values = {"delivered_at": func.clock_timestamp(), "error": None} if problem is None else {"error": problem}
        connection.execute(
            outbox.update().where(outbox.c.id.in_(open_rows)).values(attempts=outbox.c.attempts + 1, **values)
        )
    if problem is not None:
        _log.warning("MLflow's aliases of %s are not brought along now, the next delivery does it: %s", model, problem)
    return problem is None


def _reconcile(settings: Settings, connection: Connection, model: str) -> str | None:
    """Set and remove aliases; returns what went wrong, or None."""
    rows = connection.execute(
        select(deployment_state.c.role, deployment_state.c.version).where(deployment_state.c.model == model)
    )
    names = dict.fromkeys(CHALLENGER_ROLES, "challenger")
    wanted = {names.get(row.role, row.role): row.version for row in rows}
    try:
        _set_aliases(connect(settings), model, wanted)
    except Exception as error:  # noqa: BLE001 - whatever MLflow or its database raises must not fail a deployment
        return summary(error)
    return None


def _set_aliases(client: MlflowClient, model: str, wanted: dict[str, int]) -> None:
    found = {alias: int(version) for alias, version in client.get_registered_model(model).aliases.items()}
    for alias in ALIASES:
        if alias in wanted and found.get(alias) != wanted[alias]:
            client.set_registered_model_alias(model, alias, str(wanted[alias]))
        elif alias not in wanted and alias in found:
            client.delete_registered_model_alias(model, alias)
