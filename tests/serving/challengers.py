"""Challengers with something wrong with them: the packaged model's own code, with one more class at its end."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import mlflow
import mlflow.artifacts
import numpy as np
from sklearn.metrics import roc_auc_score

from include.registry import versions
from include.registry.mlflow_client import connect
from include.settings import Settings
from include.spec.definition import Definition
from include.training.compiling import compile_package
from include.training.package import artifact_digest
from tests.serving.live import AS_OF
from tests.training.factories import json_rows, make_definition, make_package, make_rows

_END = "mlflow.models.set_model(TabularModel())"
_DOCTORED = '''
import hashlib
import time


class Doctored(TabularModel):
    """Does something else than it was trained for."""

    def predict_rows(self, rows):
        {before}
        return [self._altered(row, value) for row, value in zip(rows, super().predict_rows(rows))]

    def _altered(self, row, value):
        return {value}


TabularModel = Doctored
mlflow.models.set_model(TabularModel())
'''
_NOISE = "value + {noise} * (int(hashlib.sha256(repr(sorted(row.items())).encode()).hexdigest()[:8], 16) / 2**32 - 0.5)"


def asking_for(labels: int = 0, share: int = 30) -> Definition:
    """A definition with stages that ask for little, but for so many labels.

    :param share: percent of the requests that the canary answers.
    """
    return make_definition(
        deployment={
            "stages": ["shadow", {"canary": share}, "champion"],
            "evidence": {"requests": 150, "labels": labels, "timeout": "10m"},
            "rollback": {"metric": "roc_auc"},
        }
    )


@dataclass(frozen=True)
class Package:
    """A model in MLflow that any number of versions of any number of models can be made of."""

    run_id: str
    model_uri: str
    artifact_digest: str


@dataclass(frozen=True)
class Traffic:
    """Rows as a client sends them, what really happened, and what a good model says of them.

    :param noise: amplitude of noise that lowers the good model's ROC AUC by 0.02.
    :param spread: standard deviation of the good model's predictions.
    """

    rows: list[dict[str, Any]]
    labels: list[int]
    noise: float
    spread: float


def make_traffic(folder: Path, count: int) -> tuple[Traffic, Path]:
    """Traffic, and the package of the model that is good at it."""
    model, _, _ = make_package(folder, asking_for(), make_rows(4000))
    known = compile_package(folder / "package", model.description, make_rows(300, seed=3)[list(model.columns)])
    assert known["compiled"]["admitted"], known["compiled"]["reason"]
    frame = make_rows(count, seed=2)
    rows = json_rows(frame, list(model.columns))
    labels = (frame["delay"] > 15).astype(int).to_numpy()
    predictions = model.predict_frame(frame)
    return Traffic(
        rows, labels.tolist(), _noise(rows, labels, predictions), float(predictions.std())
    ), folder / "package"


def _noise(rows: list[dict[str, Any]], labels: np.ndarray, predictions: np.ndarray) -> float:
    drawn = [int(hashlib.sha256(repr(sorted(row.items())).encode()).hexdigest()[:8], 16) / 2**32 - 0.5 for row in rows]
    good, low, high = roc_auc_score(labels, predictions), 0.0, 2.0
    for _ in range(30):
        middle = (low + high) / 2
        lost = good - roc_auc_score(labels, predictions + middle * np.array(drawn))
        low, high = (middle, high) if lost < 0.02 else (low, middle)
    return high


def doctored(*, value: str = "value", before: str = "pass") -> str:
    """The packaged model's code with another answer.

    :param value: expression over ``row`` and ``value``.
    :param before: statement over ``rows`` that comes first.
    """
    from include.training.package import CODE

    code = CODE.read_text()
    assert code.rstrip().endswith(_END)
    return code.rstrip().removesuffix(_END) + _DOCTORED.format(value=value, before=before)


def noisy(noise: float) -> str:
    """Code whose answers are less accurate."""
    return doctored(value=_NOISE.format(noise=noise))


def log_package(
    settings: Settings, folder: Path, package: Path, code: str | None = None, verification: Path | None = None
) -> Package:
    """Log a package to MLflow, with other code or its own.

    :param verification: file of rows with which a deployment verifies it.
    """
    from include.training.package import CODE

    file = folder / "packaged_model.py"
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(CODE.read_text() if code is None else code)
    client = connect(settings)
    known = client.get_experiment_by_name("challengers")
    experiment = known.experiment_id if known else client.create_experiment("challengers")
    with mlflow.start_run(experiment_id=experiment) as run:
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(file),
            artifacts={path.stem: str(path) for path in sorted(package.iterdir()) if path.is_file()},
            pip_requirements=[],
        )
        if verification is not None:
            mlflow.log_artifact(str(verification), "verification")
    found = Path(mlflow.artifacts.download_artifacts(info.model_uri, dst_path=str(folder / "logged")))
    digest = artifact_digest(found)
    shutil.rmtree(folder / "logged")
    return Package(run.info.run_id, info.model_uri, digest)


def register(settings: Settings, model: str, package: Package, *, days: int) -> int:
    """A version of a model, as of so many days after 1 October 2013."""
    outcome = versions.register_version(
        settings,
        model,
        fingerprint=f"{model}-{days}",
        run_id=package.run_id,
        as_of=AS_OF + timedelta(days=days),
        artifact_digest=package.artifact_digest,
        model_uri=package.model_uri,
    )
    return outcome.version.version


def body(row: dict[str, Any]) -> bytes:
    """One row as a request."""
    return json.dumps({"rows": [row]}).encode()
