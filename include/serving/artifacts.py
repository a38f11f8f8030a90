"""Packaged models on this machine's disk: downloaded once, complete or not there, and never used unchecked."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from include.errors import NoriaError
from include.registry.deployed import DeployedVersion
from include.registry.mlflow_client import connect, summary
from include.registry.signing import check
from include.serving.loaded import LoadedModel, load_packaged
from include.settings import Settings

KEPT_VERSIONS = 6
_NOT_INSTALLED = ". Its requirements.txt says what it needs: put that on this server's image (README, Other trainers)."
_SAFE = re.compile(r"[a-z][a-z0-9_]{0,62}")
_log = logging.getLogger(__name__)


class ArtifactAway(NoriaError):
    """The artifact could not be downloaded; it may work later."""


class ArtifactCorrupt(NoriaError):
    """The artifact is not the one that was registered: its content has another digest."""


class ArtifactUnloadable(NoriaError):
    """The artifact is what was registered, but it cannot be loaded here."""


class ArtifactCache:
    """The folder ``<home>/serving/models/<model>/<version>-<digest>``; several workers may share it.

    :param settings: where home and MLflow are.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._root = settings.home / "serving" / "models"

    def load(self, deployed: DeployedVersion) -> LoadedModel:
        """Load a version, downloading it if it is not here or not whole.

        :raises ArtifactAway: MLflow does not give it now.
        :raises ArtifactCorrupt: its digest is not the registered one.
        :raises ArtifactUnloadable: it does not load.
        :raises VersionUntrusted: it is not signed as it should be.
        """
        check(self._settings, deployed)
        directory = self._directory(deployed)
        with _alone(directory):
            if directory.exists() and digest_of(directory) != deployed.artifact_digest:
                _log.warning("the copy in %s is damaged and is downloaded again", directory)
                shutil.rmtree(directory, ignore_errors=True)
            if not directory.exists():
                self._download(deployed, directory)
        model = load_from(directory, deployed)
        directory.touch()
        return model

    def has(self, deployed: DeployedVersion) -> bool:
        """Whether the version's folder is here."""
        return self._directory(deployed).exists()

    def prune(self, model: str, keep: set[tuple[int, str]]) -> None:
        """Remove the model's oldest folders beyond :data:`KEPT_VERSIONS`.

        :param keep: version and digest of what must stay.
        """
        kept = {f"{version}-{digest}" for version, digest in keep}
        folders = [path for path in (self._root / model).iterdir() if path.is_dir() and not path.name.startswith(".")]
        for path in sorted(folders, key=_used_at, reverse=True)[KEPT_VERSIONS:]:
            if path.name not in kept:
                shutil.rmtree(path, ignore_errors=True)
                _lock(path).unlink(missing_ok=True)

    def _directory(self, deployed: DeployedVersion) -> Path:
        return self._root / folder_of(deployed)

    def _download(self, deployed: DeployedVersion, directory: Path) -> None:
        with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".part-") as part:
            os.rename(download(self._settings, deployed, Path(part)), directory)


def folder_of(deployed: DeployedVersion) -> Path:
    """Where a version's files are, below a folder of models: ``<model>/<version>-<digest>``.

    :raises ArtifactCorrupt: model or digest would be no safe file name.
    """
    if not _SAFE.fullmatch(deployed.model) or not re.fullmatch(r"[0-9A-Za-z]{1,128}", deployed.artifact_digest):
        raise ArtifactCorrupt(f"{deployed.model!r} or its digest {deployed.artifact_digest!r} is no safe file name.")
    return Path(deployed.model) / f"{deployed.version}-{deployed.artifact_digest}"


def load_from(directory: Path, deployed: DeployedVersion) -> LoadedModel:
    """Load a version from a folder whose digest was verified.

    :raises ArtifactUnloadable: it does not load.
    """
    try:
        packaged = load_packaged(directory)
    except Exception as error:
        cure = _NOT_INSTALLED if isinstance(error, ModuleNotFoundError) else ""
        problem = f"{type(error).__name__}: {summary(error)}"
        raise ArtifactUnloadable(
            f"{deployed.model} version {deployed.version} does not load: {problem}{cure}"
        ) from error
    return LoadedModel(deployed, packaged)


def download(settings: Settings, deployed: DeployedVersion, part: Path) -> Path:
    """Download a version into a folder below ``part``, and return it if it is what was registered.

    :raises ArtifactAway: MLflow does not give it now.
    :raises ArtifactCorrupt: its digest is not the registered one.
    :raises VersionUntrusted: it is not signed as it should be.
    """
    check(settings, deployed)
    found = _fetch(settings, deployed, part)
    digest = digest_of(found)
    if digest != deployed.artifact_digest:
        raise ArtifactCorrupt(
            f"{deployed.model} version {deployed.version} is not served: the content of {deployed.model_uri} "
            f"has the digest {digest}, registered was {deployed.artifact_digest}. Roll back, and train again."
        )
    return found


def _fetch(settings: Settings, deployed: DeployedVersion, part: Path) -> Path:
    connect(settings)
    import mlflow.artifacts

    try:
        return Path(
            mlflow.artifacts.download_artifacts(
                artifact_uri=deployed.model_uri,
                dst_path=str(part / "model"),
                tracking_uri=settings.tracking_url,
            )
        )
    except Exception as error:
        raise ArtifactAway(
            f"{deployed.model} version {deployed.version} cannot be downloaded from MLflow: {summary(error)}"
        ) from error


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Of the workers that share a folder one at a time looks at a version's copy, mends it or downloads it."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with _lock(directory).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _lock(directory: Path) -> Path:
    return directory.with_name(f".{directory.name}.lock")


def _used_at(directory: Path) -> float:
    """When a folder was last loaded from; long ago if another worker removes it just now."""
    try:
        return directory.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def digest_of(directory: Path) -> str:
    """The artifact's digest; a text that equals none if it is not whole."""
    from include.training.package import PackageIncomplete, artifact_digest

    try:
        return artifact_digest(directory)
    except (PackageIncomplete, OSError) as error:
        return f"none ({summary(error)})"
