"""An operator's work on signatures: sign what was registered before there was a key, and look through all of them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import select

from include.errors import NoriaError, Refused
from include.registry import database
from include.registry.mlflow_client import TrackingAway, connect, summary
from include.registry.signing import check
from include.registry.signing_keys import SigningKeyMissing, private_key, trusted_keys
from include.registry.tables import model_version
from include.registry.versions import ModelVersion, list_versions, read_version, set_signature
from include.settings import Settings


class ArtifactChanged(Refused):
    """The artifact in MLflow is not the one that was registered, so it is not signed."""

    def __init__(self, version: ModelVersion, found: str) -> None:
        self.version = version.version
        super().__init__(
            f"The files of {version.model} version {version.version} have the digest {found}, but "
            f"{version.artifact_digest} was registered. Restore them in MLflow, or bar the version and train again."
        )


class NoTrustedKeys(Refused):
    """There is nothing to hold signatures against."""

    def __init__(self) -> None:
        super().__init__("NORIA_TRUSTED_KEYS is not set: name the file of the public keys that are believed.")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What was found of one version, or done with it.

    :param problem: why it is not trusted, or was not signed.
    """

    version: ModelVersion
    state: Literal["signed", "trusted", "refused"]
    problem: str | None = None


def models_with_versions(settings: Settings) -> list[str]:
    """Names of all models that have a version."""
    with database.transaction(settings.database_url) as connection:
        names = connection.execute(select(model_version.c.model).distinct().order_by(model_version.c.model))
        return [str(name) for name in names.scalars()]


def sign_versions(settings: Settings, model: str, *, again: bool = False) -> Iterator[Outcome]:
    """Sign a model's versions that have no signature, each after its artifact was held against its digest.

    A version that somebody has changed since it was signed, or that an unknown key has signed, is refused and stays so.

    :param again: also those that another believed key has signed: before that key is taken away.
    :raises SigningKeyMissing: there is no key.
    :raises KeyUnusable: the key cannot be used.
    :raises SigningKeyUntrusted: the key is not among the believed ones.
    """
    key = private_key(settings)
    if key is None:
        raise SigningKeyMissing
    for version in list_versions(settings, model):
        try:
            if version.signature is not None:
                check(settings, version)
                if not again:
                    yield Outcome(version=version, state="trusted")
                    continue
            check_artifact(settings, version)
            with database.transaction(settings.database_url) as connection:
                now = read_version(connection, model, version.version, lock=True)
                if now.mark != version.mark:
                    raise Refused("its row was changed at this moment; sign it again")
                set_signature(connection, now, key)
                yield Outcome(version=read_version(connection, model, version.version), state="signed")
        except NoriaError as error:
            yield Outcome(version=version, state="refused", problem=str(error))


def verify_versions(settings: Settings, model: str) -> Iterator[Outcome]:
    """Hold each version's row against its signature, and its artifact in MLflow against the row.

    :raises NoTrustedKeys: no keys are believed here.
    """
    if trusted_keys(settings) is None:
        raise NoTrustedKeys
    for version in list_versions(settings, model):
        try:
            check(settings, version)
            check_artifact(settings, version)
        except NoriaError as error:
            yield Outcome(version=version, state="refused", problem=str(error))
        else:
            yield Outcome(version=version, state="trusted")


def check_artifact(settings: Settings, version: ModelVersion) -> None:
    """Hold a version's files in MLflow against the digest in its row.

    :raises TrackingAway: MLflow does not give them.
    :raises ArtifactChanged: they have another digest.
    """
    connect(settings)
    import mlflow.artifacts

    from include.training.package import PackageIncomplete, artifact_digest

    with tempfile.TemporaryDirectory(prefix="noria-model-files-") as folder:
        try:
            directory = mlflow.artifacts.download_artifacts(artifact_uri=version.model_uri, dst_path=folder)
        except Exception as error:
            raise TrackingAway(f"downloading {version.model_uri}", summary(error)) from error
        try:
            found = artifact_digest(Path(directory))
        except (PackageIncomplete, OSError) as error:
            found = f"none ({summary(error)})"
    if found != version.artifact_digest:
        raise ArtifactChanged(version, found)
