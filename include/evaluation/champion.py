"""A champion's packaged model, loaded from MLflow's artifacts and proven to be the registered one, then asked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from include.errors import NoriaError, Refused, TryAgain
from include.evaluation.scoring import Floats
from include.training.package import artifact_digest


class ChampionAway(TryAgain):
    """The champion's files could not be downloaded from MLflow."""

    def __init__(self, version: int, model_uri: str, problem: str) -> None:
        self.version = version
        self.model_uri = model_uri
        super().__init__(
            f"The files of champion version {version} ({model_uri}) could not be downloaded: {problem}. Nothing is "
            "promoted without a comparison: see that MLflow runs and still has them, or deploy another version by hand."
        )


class ChampionBroken(NoriaError):
    """The champion's files are there, but are not what was registered, or do not load."""

    def __init__(self, version: int, problem: str) -> None:
        self.version = version
        super().__init__(
            f"Champion version {version} cannot be used: {problem}. Nothing is promoted without a comparison: restore "
            "its artifacts, or roll back to another version."
        )


class ChampionIncompatible(Refused):
    """The champion cannot read the rows that the definition gives today."""

    def __init__(self, version: int, problem: str) -> None:
        self.version = version
        super().__init__(
            f"Champion version {version} cannot predict today's holdout rows: {problem}. If the definition lost a "
            "column that it needs, keep the column for now, or deploy the new version by hand with force."
        )


def predict_with_version(
    tracking_url: str, *, version: int, model_uri: str, expected_digest: str, rows: pd.DataFrame
) -> Floats:
    """Predictions of a registered version for raw rows, shape (rows,).

    :param expected_digest: the digest that the registry keeps for its files.
    :raises ChampionAway: if MLflow does not deliver the files.
    :raises ChampionBroken: if they differ from the registered ones or do not load.
    :raises ChampionIncompatible: if the model cannot read the rows.
    """
    with version_files(
        tracking_url, version=version, model_uri=model_uri, expected_digest=expected_digest
    ) as directory:
        model = _load(directory, version)
        try:
            answer = model.predict(rows)
        except Exception as error:
            raise ChampionIncompatible(version, f"{type(error).__name__}: {error}") from error
    return _as_array(answer, version, len(rows))


@contextmanager
def version_files(tracking_url: str, *, version: int, model_uri: str, expected_digest: str) -> Iterator[Path]:
    """A registered version's files in a temporary folder, proven to be what was registered.

    :raises ChampionAway: if MLflow does not deliver them.
    :raises ChampionBroken: if they differ from the registered ones.
    """
    with tempfile.TemporaryDirectory(prefix="noria-champion-") as folder:
        directory = _download(tracking_url, version, model_uri, Path(folder))
        found = artifact_digest(directory)
        if found != expected_digest:
            raise ChampionBroken(version, f"its files have the digest {found}, but {expected_digest} was registered")
        yield directory


def _download(tracking_url: str, version: int, model_uri: str, folder: Path) -> Path:
    import mlflow

    mlflow.set_tracking_uri(tracking_url)
    mlflow.set_registry_uri(tracking_url)
    try:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=model_uri, dst_path=str(folder)))
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise ChampionAway(version, model_uri, " ".join(str(error).split())[:300]) from error


def _load(directory: Path, version: int) -> Any:
    import mlflow.pyfunc

    try:
        return mlflow.pyfunc.load_model(str(directory))
    except Exception as error:
        raise ChampionBroken(version, f"it does not load ({type(error).__name__}: {error})") from error


def _as_array(answer: object, version: int, rows: int) -> Floats:
    """The one column of predictions, whatever form it comes in."""
    if isinstance(answer, pd.DataFrame):
        answer = answer["prediction"] if "prediction" in answer else answer.iloc[:, 0]
    values = np.asarray(answer, dtype=np.float64).reshape(-1)
    if values.size != rows:
        raise ChampionIncompatible(version, f"it gave {values.size} predictions for {rows} rows")
    return values
