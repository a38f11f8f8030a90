"""What is in production now, read in one query."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Label, literal_column, select, tuple_

from include.registry import database
from include.registry.roles import CHALLENGER_ROLES
from include.registry.signing import SignedVersion
from include.registry.tables import deployment, deployment_state, model_version, retirement
from include.settings import Settings

_ROW_MARK: Label[str] = literal_column("model_version.xmin::text").label("mark")
"""PostgreSQL's own: the transaction that last wrote the row."""
_NOT_OF_THE_VERSION = frozenset({"model_revision", "retired_at", "began_at", "retiring_until", "mark"})

Decisions = dict[tuple[str, int], tuple[str, dict[str, Any]]]
"""What was decided on a version, by model and number, beside the mark of its row at that time."""


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
    return _read(connection, model).get(model)


def read_states(settings: Settings) -> dict[str, ModelState]:
    """The state of every model that was ever deployed, by name.

    :raises DatabaseAway: the database cannot be reached.
    """
    with database.transaction(settings.database_url) as connection:
        return _read(connection)


def states_in(connection: Connection, decisions: Decisions) -> dict[str, ModelState]:
    """The state of every model, for :class:`include.registry.state_reader.StateReader`.

    :param decisions: what is kept between two calls: only what is new or changed is read again.
    """
    return _read(connection, decisions=decisions)


def _read(
    connection: Connection, model: str | None = None, *, decisions: Decisions | None = None
) -> dict[str, ModelState]:
    state, version = deployment_state.c, model_version.c
    query = select(
        deployment.c.model, deployment.c.revision.label("model_revision"), deployment.c.retired_at,
        retirement.c.began_at, retirement.c.until.label("retiring_until"),
        state.role, state.share, state.since, state.revision, state.plan, state.until, state.deployment,
        version.version, version.fingerprint, version.run_id, version.as_of, version.artifact_digest,
        version.model_uri, version.windows, version.signature, version.signer, _ROW_MARK,
    ).select_from(
        deployment.outerjoin(deployment_state, deployment.c.model == state.model)
        .outerjoin(model_version, (version.model == state.model) & (version.version == state.version))
        .outerjoin(retirement, (retirement.c.model == deployment.c.model) & retirement.c.restorable_until.is_(None))
    )  # fmt: skip
    rows = connection.execute(query if model is None else query.where(deployment.c.model == model)).all()
    decisions = {} if decisions is None else decisions
    _read_decisions(connection, decisions, {(row.model, row.version): row.mark for row in rows if row.role is not None})
    states: dict[str, ModelState] = {}
    for row in rows:
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
            values |= {"plan": row.plan or {}, "decision": decisions[name, row.version][1]}
            found.roles[row.role] = DeployedVersion(**values)
    return states


def _read_decisions(connection: Connection, known: Decisions, marks: dict[tuple[str, int], str]) -> None:
    """Bring what is known of decisions, which are long, to these versions as they are now."""
    for gone in known.keys() - marks.keys():
        del known[gone]
    wanted = [key for key, mark in marks.items() if key not in known or known[key][0] != mark]
    if wanted:
        version = model_version.c
        query = select(version.model, version.version, version.decision, _ROW_MARK)
        for row in connection.execute(query.where(tuple_(version.model, version.version).in_(wanted))):
            known[row.model, row.version] = row.mark, row.decision
