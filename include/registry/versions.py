"""Registered versions: each is one MLflow model version and one row, found again by its fingerprint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from include.errors import NoriaError, Refused
from include.registry import database, ledger
from include.registry.mlflow_client import TrackingAway, connect, summary
from include.registry.roles import WAS_RETIRED
from include.registry.signing import SignedVersion, sign
from include.registry.signing_keys import private_key
from include.registry.tables import model_version
from include.settings import Settings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from mlflow.tracking import MlflowClient

FINGERPRINT_TAG = "noria.fingerprint"


class VersionUnknown(Refused):
    """There is no such version of the model."""

    def __init__(self, model: str, version: int) -> None:
        self.model = model
        self.version = version
        super().__init__(f"{model} has no registered version {version}. Look at MLflow's models page, or train first.")


class VersionInProduction(Refused):
    """The version is champion, so barring it would leave a barred version in production."""

    def __init__(self, model: str, version: int) -> None:
        self.model = model
        self.version = version
        super().__init__(
            f"{model} version {version} is the champion and cannot be barred where it stands. Roll it back instead, "
            f"which bars it too: python -m include.registry rollback {model} --reason …"
        )


class RegistriesDisagree(NoriaError):
    """MLflow gave a version number that our table already holds for another model."""


@dataclass(frozen=True, kw_only=True)
class ModelVersion(SignedVersion):
    """A registered version of a model.

    :param status: registered, barred or retired.
    :param freed_at: since when its artifact is gone; None if it is there.
    """

    status: str
    created_at: datetime
    freed_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Registered:
    """Outcome of :func:`register_version`; ``reused`` if the fingerprint had been registered before."""

    version: ModelVersion
    reused: bool


def find_by_fingerprint(settings: Settings, model: str, fingerprint: str) -> ModelVersion | None:
    """The version that was made from exactly this, or None.

    :raises DatabaseAway: the database cannot be reached.
    """
    with database.transaction(settings.database_url) as connection:
        return _by_fingerprint(connection, model, fingerprint)


def get_version(settings: Settings, model: str, version: int) -> ModelVersion:
    """One version by its number.

    :raises VersionUnknown: there is none.
    """
    with database.transaction(settings.database_url) as connection:
        return read_version(connection, model, version)


def list_versions(settings: Settings, model: str) -> list[ModelVersion]:
    """All versions of a model, oldest first."""
    query = select(model_version).where(model_version.c.model == model).order_by(model_version.c.version)
    with database.transaction(settings.database_url) as connection:
        return [ModelVersion(**row._mapping) for row in connection.execute(query)]


def read_version(connection: Connection, model: str, version: int, *, lock: bool = False) -> ModelVersion:
    """One version by its number, in the caller's transaction.

    :param lock: keep others from changing its row until the transaction ends.
    :raises VersionUnknown: there is none.
    """
    query = select(model_version).where(model_version.c.model == model, model_version.c.version == version)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise VersionUnknown(model, version)
    return ModelVersion(**row._mapping)


def set_status(connection: Connection, model: str, version: int, status: str) -> None:
    """Set a version's status in the caller's transaction."""
    connection.execute(
        model_version.update()
        .where(model_version.c.model == model, model_version.c.version == version)
        .values(status=status)
    )


def set_signature(connection: Connection, version: ModelVersion, key: Ed25519PrivateKey) -> None:
    """Sign a version in the caller's transaction.

    :param version: as the database gave it back: in JSON some numbers and texts are not what was put in.
    """
    row = model_version.c
    connection.execute(
        model_version.update()
        .where(row.model == version.model, row.version == version.version)
        .values(sign(version, key))
    )


def register_version(
    settings: Settings,
    model: str,
    *,
    fingerprint: str,
    run_id: str,
    as_of: datetime,
    artifact_digest: str,
    model_uri: str,
    windows: Mapping[str, Any] | None = None,
    decision: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
) -> Registered:
    """Register the model that a run logged, once for each fingerprint.

    MLflow's version carries the fingerprint as a tag from its first moment, so that a crash between MLflow and our row
    is mended by the next call, which finds it by that tag. Calls for one model take turns.

    :param model_uri: address of the logged model, ``models:/m-…`` or ``runs:/…``.
    :param tags: more tags for MLflow's version, such as digests.
    :raises TrackingAway: MLflow cannot be reached; nothing is registered in our table.
    :raises DatabaseAway: the database cannot be reached.
    :raises SigningKeyMissing: versions must be signed here, and there is no key; nothing is registered.
    :raises KeyUnusable: the key cannot be used.
    :raises SigningKeyUntrusted: nobody would believe it.
    """
    with database.transaction(settings.database_url) as connection:
        database.lock_until_commit(connection, "register", model)
        known = _by_fingerprint(connection, model, fingerprint)
        if known is not None:
            return Registered(version=known, reused=True)
        key = private_key(settings)
        all_tags = {
            **(tags or {}),
            FINGERPRINT_TAG: fingerprint,
            "noria.as_of": as_of.isoformat(),
            "noria.artifact_digest": artifact_digest,
            "noria.decision": str((decision or {}).get("verdict", "none")),
            "noria.decision_reason": str((decision or {}).get("reason", ""))[:1000],
        }
        number = _mlflow_version(settings, model, run_id, model_uri, all_tags)
        values = {
            "model": model,
            "version": number,
            "fingerprint": fingerprint,
            "run_id": run_id,
            "as_of": as_of,
            "artifact_digest": artifact_digest,
            "model_uri": model_uri,
            "status": "registered",
            "windows": dict(windows or {}),
            "decision": dict(decision or {}),
        }
        _insert(connection, model, number, values)
        if key is not None:
            set_signature(connection, read_version(connection, model, number), key)
        return Registered(version=read_version(connection, model, number), reused=False)


def _insert(connection: Connection, model: str, number: int, values: Mapping[str, Any]) -> None:
    try:
        connection.execute(model_version.insert().values(**values))
    except IntegrityError as error:
        raise RegistriesDisagree(
            f"MLflow calls this version {number} of {model}, but our table has another version {number}: MLflow's "
            "database and Noria's are not of the same age. Restore both from the same moment, or start with both empty."
        ) from error


def _by_fingerprint(connection: Connection, model: str, fingerprint: str) -> ModelVersion | None:
    query = select(model_version).where(model_version.c.model == model, model_version.c.fingerprint == fingerprint)
    row = connection.execute(query).one_or_none()
    return None if row is None else ModelVersion(**row._mapping)


def _mlflow_version(settings: Settings, model: str, run_id: str, model_uri: str, tags: Mapping[str, str]) -> int:
    """The number of MLflow's version with this fingerprint, created if there is none."""
    client = connect(settings)
    from mlflow.exceptions import MlflowException

    try:
        _ensure_registered_model(client, model)
        found = client.search_model_versions(
            f"name = '{model}' AND tags.`{FINGERPRINT_TAG}` = '{tags[FINGERPRINT_TAG]}'"
        )
        if found:
            return min(int(version.version) for version in found)
        created = client.create_model_version(
            model, source=model_uri, run_id=run_id, tags=dict(tags), model_id=_logged_model_id(model_uri)
        )
        return int(created.version)
    except MlflowException as error:
        raise TrackingAway(f"registering a version of {model} from {model_uri}", summary(error)) from error


def _ensure_registered_model(client: MlflowClient, model: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _logged_model_id(model_uri: str) -> str | None:
    name = model_uri.removeprefix("models:/")
    return name if name != model_uri and name.startswith("m-") and "/" not in name else None


def bar(settings: Settings, model: str, version: int, *, actor: str, reason: str) -> bool:
    """Bar a version from production until a person lifts it; returns whether anything changed.

    :raises VersionInProduction: it is the champion.
    :raises VersionUnknown: there is no such version.
    """
    with database.transaction(settings.database_url) as connection:
        locked = ledger.lock(connection, model)
        if read_version(connection, model, version).status == "barred":
            return False
        if locked.champion == version:
            raise VersionInProduction(model, version)
        bar_locked(connection, locked, version, actor=actor, reason=reason)
        return True


def bar_locked(connection: Connection, locked: ledger.Locked, version: int, *, actor: str, reason: str) -> None:
    """Bar a version that is not champion, in a transaction that holds the model's lock."""
    set_status(connection, locked.model, version, "barred")
    held = locked.challenger
    # A retired model whose forced candidate goes out again is what it was.
    came_back = held is not None and held.version == version and bool(held.plan.get(WAS_RETIRED))
    ledger.record(
        connection,
        locked,
        action="bar",
        roles={role: held for role, held in locked.roles.items() if held != version},
        from_version=version,
        to_version=None,
        actor=actor,
        reason=reason,
        retired=locked.retired or came_back,
    )


def lift_bar(settings: Settings, model: str, version: int, *, actor: str, reason: str) -> bool:
    """Allow a barred version in production again; it is not deployed by this. Returns whether anything changed.

    :raises VersionUnknown: there is no such version.
    """
    with database.transaction(settings.database_url) as connection:
        locked = ledger.lock(connection, model)
        if read_version(connection, model, version).status != "barred":
            return False
        set_status(connection, model, version, "registered")
        ledger.record(
            connection,
            locked,
            action="lift-bar",
            roles=locked.roles,
            from_version=None,
            to_version=version,
            actor=actor,
            reason=reason,
            retired=locked.retired,
        )
        return True
