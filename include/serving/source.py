"""Where a server learns what to serve and gets it from: the registry, or a folder that holds one fixed deployment.

The fixed one is for places with neither database nor MLflow nor network; :mod:`include.serving.package_image` makes it.
It never changes, is never written to, and its models are held against their registered digests like any other.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, Protocol

from include.errors import Refused
from include.registry.deployed import DeployedVersion, ModelState
from include.registry.signing import check
from include.serving.artifacts import ArtifactAway, ArtifactCache, ArtifactCorrupt, digest_of, folder_of, load_from
from include.serving.loaded import LoadedModel
from include.serving.memory import states_of
from include.serving.shared_state import SharedState, reader
from include.settings import Settings

STATE: Final = "deployment.json"
MODELS: Final = "models"


class Source(Protocol):
    """What the follower needs to know of the world."""

    def states(self) -> dict[str, ModelState]:
        """The deployment state by model.

        :raises NoriaError: it cannot be read now.
        """

    def load(self, deployed: DeployedVersion) -> LoadedModel:
        """A version, with its signature and digest verified.

        :raises NoriaError: it cannot be had, is not what was registered, or does not load.
        """

    def has(self, deployed: DeployedVersion) -> bool:
        """Whether a version's files are here."""

    def prune(self, model: str, keep: set[tuple[int, str]]) -> None:
        """Remove files of versions that nobody needs any more."""

    def close(self) -> None:
        """Let go of connections."""


class RegistrySource(ArtifactCache):
    """The database's deployment state, MLflow's artifacts.

    :param settings: where database, MLflow and home are.
    :param shared: what the server's processes share; None for one that stands alone.
    :param leads: whether this process may be the one of the server that asks the database.
    """

    def __init__(self, settings: Settings, shared: SharedState | None = None, *, leads: bool = True) -> None:
        super().__init__(settings)
        self._reader = reader(settings, shared, leads=leads)

    def states(self) -> dict[str, ModelState]:
        """The state as the database has it now.

        :raises DatabaseAway: the database cannot be reached.
        """
        return self._reader.read()

    def close(self) -> None:
        """Close the connection."""
        self._reader.close()


class FixedDeploymentUnusable(Refused):
    """A folder holds no fixed deployment, or not a whole one."""

    def __init__(self, folder: Path, problem: str) -> None:
        self.folder = folder
        super().__init__(
            f"{folder} holds no deployment to serve: {problem}. Make one with python -m include.serving.package_image "
            "<model> <version> --to <folder>, and name its folder `deployment`."
        )


class FixedSource:
    """A folder with ``deployment.json`` and ``models/<model>/<version>-<digest>``, which may be read-only.

    :param folder: of the deployment.
    :param settings: which keys are believed.
    :raises FixedDeploymentUnusable: it is none.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._folder = folder
        self._settings = settings
        self._states = _read(folder)

    def states(self) -> dict[str, ModelState]:
        """Always the same."""
        return self._states

    def load(self, deployed: DeployedVersion) -> LoadedModel:
        """A version of the folder.

        :raises ArtifactAway: it is not in the folder.
        :raises ArtifactCorrupt: its digest is not the registered one.
        :raises ArtifactUnloadable: it does not load.
        :raises VersionUntrusted: it is not signed as it should be.
        """
        check(self._settings, deployed)
        directory = self._directory(deployed)
        if not directory.is_dir():
            raise ArtifactAway(f"{deployed.model} version {deployed.version} is not in {directory}. Package it again.")
        digest = digest_of(directory)
        if digest != deployed.artifact_digest:
            raise ArtifactCorrupt(
                f"{deployed.model} version {deployed.version} is not served: the content of {directory} has the digest "
                f"{digest}, registered was {deployed.artifact_digest}. Package it again."
            )
        return load_from(directory, deployed)

    def has(self, deployed: DeployedVersion) -> bool:
        """Whether a version's folder is here."""
        return self._directory(deployed).is_dir()

    def prune(self, model: str, keep: set[tuple[int, str]]) -> None:
        """Nothing is ever removed."""

    def close(self) -> None:
        """Nothing is open."""

    def _directory(self, deployed: DeployedVersion) -> Path:
        return self._folder / MODELS / folder_of(deployed)


def _read(folder: Path) -> dict[str, ModelState]:
    try:
        states = states_of(json.loads((folder / STATE).read_text(encoding="utf-8")))
    except OSError as error:
        raise FixedDeploymentUnusable(folder, f"{STATE} cannot be read ({error.strerror})") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FixedDeploymentUnusable(folder, f"{STATE} cannot be understood ({type(error).__name__})") from error
    if not states:
        raise FixedDeploymentUnusable(folder, f"{STATE} names no model")
    return states
