"""What is in production now, read in one query."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnClause, Connection, func, literal, literal_column, select
from sqlalchemy.dialects.postgresql import aggregate_order_by

from include.registry import database
from include.registry.roles import CHALLENGER_ROLES
from include.registry.signing import SignedVersion
from include.registry.tables import deployment, deployment_state, model_version, retirement
from include.settings import Settings

_ROW_MARK: Final[ColumnClause[str]] = literal_column("model_version.xmin::text")
"""PostgreSQL's own: the transaction that last wrote the row."""
_NOT_OF_THE_VERSION: Final = frozenset({"model_revision", "retired_at", "began_at", "retiring_until"})
_ROLES: Final = deployment.outerjoin(deployment_state, deployment.c.model == deployment_state.c.model).outerjoin(
    model_version,
    (model_version.c.model == deployment_state.c.model) & (model_version.c.version == deployment_state.c.version),
)

Mark = tuple[int, str]
"""A model's revision, and the marks of the rows of its deployed versions, by role."""


@dataclass(frozen=True, kw_only=True)
class DeployedVersion(SignedVersion):
    """A version and the role that it holds in production.

    :param share: part of the entities that it answers, 0 to 1; the champion answers what no challenger does.
    :param since: when it took the role with this share.
    :param revision: the model's revision at which it took the role.
    :param plan: what a challenger's stage asks for (:mod:`include.registry.plans`); else empty.
    :param until: deadline of a challenger's stage.
    :param deployment: name of the deployment that a challenger belongs to.
    """

    role: str
    share: float
    since: datetime
    revision: int
    plan: dict[str, Any] = field(default_factory=dict)
    until: datetime | None = None
    deployment: str | None = None

    @property
    def stage(self) -> str | None:
        """Name of a challenger's stage, such as ``canary_10``."""
        name = self.plan.get("stage")
        return None if name is None else str(name)


@dataclass(frozen=True, kw_only=True)
class ModelState:
    """Everything that a server needs to know of one model.

    :param revision: rises by one with each change.
    :param roles: what is deployed, by role; empty if nothing is.
    :param retiring_since: since when it is on its way out of production and still answers; None if it is not.
    :param retiring_until: how long it does so at most.
    """

    model: str
    revision: int
    retired_at: datetime | None
    roles: dict[str, DeployedVersion]
    retiring_since: datetime | None = None
    retiring_until: datetime | None = None

    @property
    def challenger(self) -> DeployedVersion | None:
        """The version on its way to champion, in whatever stage, or None."""
        return next((self.roles[role] for role in CHALLENGER_ROLES if role in self.roles), None)


def champion(settings: Settings, model: str) -> DeployedVersion | None:
    """The version in production, or None.

    :raises DatabaseAway: the database cannot be reached.
    """
    found = read_state(settings, model)
    return None if found is None else found.roles.get("champion")


def challenger(settings: Settings, model: str) -> DeployedVersion | None:
    """The version on its way to champion, in whatever stage, or None."""
    found = read_state(settings, model)
    return None if found is None else found.challenger


def read_state(settings: Settings, model: str) -> ModelState | None:
    """The state of one model, or None if it was never deployed.

    :raises DatabaseAway: the database cannot be reached.
    """
    with database.transaction(settings.database_url) as connection:
        return state_in(connection, model)


def state_in(connection: Connection, model: str) -> ModelState | None:
    """The state of one model in the caller's transaction."""
    return states_in(connection, [model]).get(model)


def read_states(settings: Settings) -> dict[str, ModelState]:
    """The state of every model that was ever deployed, by name.

    :raises DatabaseAway: the database cannot be reached.
    """
    with database.transaction(settings.database_url) as connection:
        return states_in(connection)


def read_revisions(connection: Connection) -> dict[str, int]:
    """The revision of every model that was ever deployed."""
    return dict(connection.execute(select(deployment.c.model, deployment.c.revision)).tuples().all())


def read_marks(connection: Connection, models: Collection[str] | None = None) -> dict[str, Mark]:
    """What tells a model's state from another one of it, in one narrow row for each model, or each of these."""
    rows_of_versions = func.string_agg(_ROW_MARK, aggregate_order_by(literal(","), deployment_state.c.role))
    query = (
        select(deployment.c.model, deployment.c.revision, rows_of_versions)
        .select_from(_ROLES)
        .group_by(deployment.c.model)
    )
    rows = connection.execute(query if models is None else query.where(deployment.c.model.in_(models)))
    return {model: (revision, marks or "") for model, revision, marks in rows}


def states_in(connection: Connection, models: Collection[str] | None = None) -> dict[str, ModelState]:
    """The states of all models, or of these, in the caller's transaction; one that was never deployed is left out."""
    state, version = deployment_state.c, model_version.c
    query = select(
        deployment.c.model, deployment.c.revision.label("model_revision"), deployment.c.retired_at,
        retirement.c.began_at, retirement.c.until.label("retiring_until"),
        state.role, state.share, state.since, state.revision, state.plan, state.until, state.deployment,
        version.version, version.fingerprint, version.run_id, version.as_of, version.artifact_digest,
        version.model_uri, version.windows, version.decision, version.signature, version.signer,
    ).select_from(
        _ROLES.outerjoin(
            retirement, (retirement.c.model == deployment.c.model) & retirement.c.restorable_until.is_(None)
        )
    )  # fmt: skip
    states: dict[str, ModelState] = {}
    for row in connection.execute(query if models is None else query.where(deployment.c.model.in_(models))):
        name = row.model
        found = states.setdefault(
            name,
            ModelState(
                model=name, revision=row.model_revision, retired_at=row.retired_at, roles={},
                retiring_since=row.began_at, retiring_until=row.retiring_until,
            ),
        )  # fmt: skip
        if row.role is not None:
            values = {key: value for key, value in row._mapping.items() if key not in _NOT_OF_THE_VERSION}
            found.roles[row.role] = DeployedVersion(**values | {"plan": row.plan or {}})
    return states
