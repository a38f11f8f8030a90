"""A packaged model, loaded from MLflow's artifacts and proven to be the one that is meant, then asked."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from include.errors import NoriaError, Refused, TryAgain
from include.evaluation.grouping import Floats
from include.lake.class_columns import PROBABILITY_PREFIX, padded, probability_columns
from include.training.package import artifact_digest, open_package

Predict = Callable[[pd.DataFrame], Floats]


class ModelAway(TryAgain):
    """A model's files could not be downloaded from MLflow.

    :param whose: the model in words, such as ``champion version 3``.
    """

    def __init__(self, whose: str, model_uri: str, problem: str) -> None:
        self.whose = whose
        self.model_uri = model_uri
        super().__init__(
            f"The files of {whose} ({model_uri}) could not be downloaded: {problem}. Nothing is promoted without a "
            "comparison: see that MLflow runs and still has them, or deploy another version by hand."
        )


class ModelBroken(NoriaError):
    """A model's files are there, but are not what was registered, or do not load."""

    def __init__(self, whose: str, problem: str) -> None:
        self.whose = whose
        super().__init__(
            f"{_begin(whose)} cannot be used: {problem}. Nothing is promoted without a comparison: restore its "
            "artifacts, or deploy another version."
        )


class ModelIncompatible(Refused):
    """A model cannot read the rows that the definition gives today."""

    def __init__(self, whose: str, problem: str) -> None:
        self.whose = whose
        super().__init__(
            f"{_begin(whose)} cannot predict today's holdout rows: {problem}. If the definition lost a column that it "
            "needs, keep the column for now, or deploy the new version by hand with force."
        )


@contextmanager
def open_model(
    tracking_url: str, *, whose: str, model_uri: str, expected_digest: str, classes: Sequence[str] = ()
) -> Iterator[Predict]:
    """A model that predicts raw rows: a table of input columns in, predictions of shape (rows,) out.

    :param whose: the model in words, for messages.
    :param classes: of a multiclass classification; then its predictions have the shape (rows, classes).
    :param expected_digest: the digest that the registry, or the training, gave for its files.
    :raises ModelAway: if MLflow does not deliver the files.
    :raises ModelBroken: if they differ from what was named or do not load.
    :raises ModelIncompatible: when it is asked, if it cannot read the rows.
    """
    with model_files(tracking_url, whose=whose, model_uri=model_uri, expected_digest=expected_digest) as directory:
        yield load_model(directory, whose=whose, classes=classes)


def load_model(directory: Path, *, whose: str, classes: Sequence[str] = ()) -> Predict:
    """The model of these files (:func:`model_files`), as :func:`open_model` gives it.

    :raises ModelBroken: if they do not load.
    """
    model = _load(directory, whose)

    def predict(rows: pd.DataFrame) -> Floats:
        try:
            answer = model.predict(None, rows)
        except Exception as error:
            raise ModelIncompatible(whose, f"{type(error).__name__}: {error}") from error
        return _as_array(answer, whose, len(rows), classes)

    return predict


@contextmanager
def model_files(tracking_url: str, *, whose: str, model_uri: str, expected_digest: str) -> Iterator[Path]:
    """A model's files in a temporary folder, proven to be what was registered.

    :raises ModelAway: if MLflow does not deliver them.
    :raises ModelBroken: if they differ from the registered ones.
    """
    with tempfile.TemporaryDirectory(prefix="noria-model-files-") as folder:
        directory = _download(tracking_url, whose, model_uri, Path(folder))
        found = artifact_digest(directory)
        if found != expected_digest:
            raise ModelBroken(whose, f"its files have the digest {found}, but {expected_digest} was registered")
        yield directory


def _download(tracking_url: str, whose: str, model_uri: str, folder: Path) -> Path:
    import mlflow

    mlflow.set_tracking_uri(tracking_url)
    mlflow.set_registry_uri(tracking_url)
    try:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=model_uri, dst_path=str(folder)))
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise ModelAway(whose, model_uri, " ".join(str(error).split())[:300]) from error


def _load(directory: Path, whose: str) -> Any:
    try:
        return open_package(directory)
    except Exception as error:
        raise ModelBroken(whose, f"it does not load ({type(error).__name__}: {error})") from error


def _as_array(answer: object, whose: str, rows: int, classes: Sequence[str]) -> Floats:
    """The one column of predictions, whatever form it comes in; of several classes the columns of probabilities."""
    if classes:
        return _by_class(answer, whose, rows, classes)
    if isinstance(answer, pd.DataFrame):
        answer = answer["prediction"] if "prediction" in answer else answer.iloc[:, 0]
    values = np.asarray(answer, dtype=np.float64).reshape(-1)
    if values.size != rows:
        raise ModelIncompatible(whose, f"it gave {values.size} predictions for {rows} rows")
    return values


def _by_class(answer: object, whose: str, rows: int, classes: Sequence[str]) -> Floats:
    """Probabilities, shape (rows, classes): 0 for classes that were added after the model was trained."""
    names = [str(name) for name in answer.columns] if isinstance(answer, pd.DataFrame) else []
    known = [name for name in names if name.startswith(PROBABILITY_PREFIX)]
    if not isinstance(answer, pd.DataFrame) or not known or known != probability_columns(classes)[: len(known)]:
        knows = ", ".join(name.removeprefix(PROBABILITY_PREFIX) for name in known) or "(none)"
        problem = f"it knows the classes {knows}, and label.classes ({', '.join(classes)}) does not begin with them"
        raise ModelIncompatible(whose, f"{problem}; classes may only be added at the end")
    if len(answer) != rows:
        raise ModelIncompatible(whose, f"it gave {len(answer)} predictions for {rows} rows")
    found: Floats = padded(answer[known].to_numpy(dtype=np.float64), len(classes))
    return found


def _begin(whose: str) -> str:
    return whose[:1].upper() + whose[1:]
