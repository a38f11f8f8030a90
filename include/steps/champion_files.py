"""The files of the model in production, for the steps that ask it or read what it was made with."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from include.registry.state import DeployedVersion
    from include.settings import Settings


def in_words(champion: DeployedVersion) -> str:
    """How messages call it."""
    return f"champion version {champion.version}"


@contextmanager
def champion_files(settings: Settings, champion: DeployedVersion) -> Iterator[Path]:
    """The champion's files in a temporary folder, proven to be what was registered.

    :raises ModelAway: if MLflow does not deliver them.
    :raises ModelBroken: if they differ from the registered ones.
    :raises VersionUntrusted: if the champion is not signed as it should be.
    """
    from include.evaluation.logged_models import model_files
    from include.registry.mlflow_client import connect
    from include.registry.signing import check

    check(settings, champion)
    connect(settings)
    with model_files(
        settings.tracking_url,
        whose=in_words(champion),
        model_uri=champion.model_uri,
        expected_digest=champion.artifact_digest,
    ) as directory:
        yield directory
