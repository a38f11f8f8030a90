"""News from ledger and deployment state: promotions, rollbacks, deployments that do not go on.

The ledger knows them whoever acted: a DAG, a person at the command line, the server by itself while Airflow was down.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, func, select

from include.alerts.alert import Alert, Places
from include.registry.roles import APPROVAL, CHALLENGER_ROLES
from include.registry.tables import deployment_ledger, deployment_state
from include.spec.duration import format_duration

OVERDUE: Final = timedelta(minutes=2)
"""After a stage's deadline the server has this long to withdraw the challenger itself."""


def news(
    connection: Connection, model: str, places: Places, *, within: timedelta, approval_after: timedelta
) -> list[Alert]:
    """What has happened lately to what is in production, and what should have.

    :param within: how long ago at most.
    :param approval_after: how long a person may think before that is news.
    """
    changes = select(deployment_ledger).where(
        deployment_ledger.c.model == model,
        deployment_ledger.c.action.in_(("promote", "rollback")),
        deployment_ledger.c.at > func.clock_timestamp() - within,
    )
    found = [_change(row, places) for row in connection.execute(changes.order_by(deployment_ledger.c.revision))]
    return [*found, *_stuck(connection, model, places, approval_after)]


def _change(row: Row[Any], places: Places) -> Alert:
    if row.action == "promote":
        before = f", in place of version {row.from_version}" if row.from_version is not None else ", its first champion"
        return _from_ledger(
            row, places, "promotion", f"Version {row.to_version} of {row.model} is the champion now{before}"
        )
    if row.evidence.get("timed_out"):
        stage = row.evidence.get("stage")
        title = f"The deployment of {row.model} version {row.from_version} was stuck in {stage}, and is withdrawn"
        return _from_ledger(row, places, "stuck_deployment", title)
    return _from_ledger(row, places, "rollback", _rolled_back(row))


def _rolled_back(row: Row[Any]) -> str:
    if "role" in row.evidence:  # a challenger left; the champion stays
        return f"Version {row.from_version} of {row.model} is withdrawn from the stage {row.evidence.get('stage')}"
    if row.to_version is None:
        return f"Version {row.from_version} of {row.model} is rolled back, and there is no champion any more"
    return f"{row.model} is rolled back from version {row.from_version} to version {row.to_version}"


def _from_ledger(row: Row[Any], places: Places, event: Any, title: str) -> Alert:
    version = row.to_version if row.action == "promote" else row.from_version
    run = row.evidence.get("deployment")
    names = ("revision", "from_version", "to_version", "actor")
    return Alert(
        model=row.model,
        event=event,
        subject=f"version {version}",
        told_once_for=(f"revision {row.revision}",),
        title=title,
        reason=row.reason,
        at=row.at,
        run=run,
        links={"run": places.run(run), "version": places.version(row.model, version)},
        details={
            **{name: getattr(row, name) for name in names},
            "stage": row.evidence.get("stage"),
            "barred": row.evidence.get("barred"),
        },
    )


def _stuck(connection: Connection, model: str, places: Places, approval_after: timedelta) -> Iterator[Alert]:
    now = func.clock_timestamp()
    query = select(deployment_state, now.label("now")).where(
        deployment_state.c.model == model, deployment_state.c.role.in_(CHALLENGER_ROLES)
    )
    for row in connection.execute(query):
        stage = (row.plan or {}).get("stage") or row.role
        if row.until is not None and row.now > row.until + OVERDUE:
            title = f"The deployment of {model} version {row.version} is stuck in {stage}"
            reason = (
                f"The stage should have ended by {row.until.isoformat(timespec='seconds')}, and no server has "
                "withdrawn the version. Is the inference server running?"
            )
            yield _overdue(row, places, stage, "overdue", title, reason)
        elif stage == APPROVAL and row.now > row.since + approval_after:
            title = f"Version {row.version} of {model} waits for approval for {format_duration(approval_after)} already"
            until = (
                f" Without an answer it is withdrawn at {row.until.isoformat(timespec='minutes')}." if row.until else ""
            )
            reason = f"A person must approve or reject it in Airflow, under Required Actions.{until}"
            yield _overdue(row, places, stage, "approval", title, reason)


def _overdue(row: Row[Any], places: Places, stage: str, why: str, title: str, reason: str) -> Alert:
    return Alert(
        model=row.model,
        event="stuck_deployment",
        subject=f"version {row.version}",
        told_once_for=(str(row.deployment), stage, why),
        title=title,
        reason=reason,
        at=row.now,
        run=row.deployment,
        links={"run": places.run(row.deployment), "version": places.version(row.model, row.version)},
        details={"version": row.version, "stage": stage, "until": row.until.isoformat() if row.until else None},
    )
