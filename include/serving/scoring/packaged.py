"""A registered version's packaged model, proven to be what was registered before it answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from include.errors import NoriaError, Refused, TryAgain
from include.evaluation.logged_models import ModelAway, model_files
from include.serving.scoring.version import ChosenVersion
from include.settings import Settings


class VersionAway(TryAgain):
    """MLflow did not deliver the version's files."""

    def __init__(self, model: str, version: int, problem: str) -> None:
        self.model = model
        self.version = version
        super().__init__(
            f"The files of {model} version {version} could not be downloaded: {problem}. Nothing was scored; see that "
            "MLflow runs and still has them."
        )


class VersionBroken(Refused):
    """The version's files are not what was registered, or do not load."""

    def __init__(self, model: str, version: int, problem: str) -> None:
        self.model = model
        self.version = version
        super().__init__(
            f"{model} version {version} does not score: {problem}. Restore its artifacts in MLflow, or name another "
            "version."
        )


@contextmanager
def opened_model(settings: Settings, model: str, chosen: ChosenVersion) -> Iterator[Any]:
    """The artifact's own ``TabularModel``, from its own code; the files are there as long as the block.

    :raises VersionAway: if MLflow does not deliver the files.
    :raises VersionBroken: if their digest is another one than registered, or they do not load.
    """
    with ExitStack() as stack:
        try:
            directory = stack.enter_context(
                model_files(
                    settings.tracking_url,
                    whose=f"version {chosen.version} of {model}",
                    model_uri=chosen.model_uri,
                    expected_digest=chosen.artifact_digest,
                )
            )
        except ModelAway as error:
            raise VersionAway(model, chosen.version, str(error.__cause__ or error)) from error
        except NoriaError as error:
            raise VersionBroken(model, chosen.version, str(error)) from error
        yield _load(model, chosen.version, directory)


def _load(model: str, version: int, directory: Path) -> Any:
    from include.training.package import open_package

    try:
        return open_package(directory)
    except Exception as error:
        raise VersionBroken(model, version, f"it does not load ({type(error).__name__}: {error})") from error
