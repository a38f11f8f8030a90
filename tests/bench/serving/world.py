"""What is served in the benchmark: the flagship trained on real flights, 150 trees, as champion and challenger.

The same packaged model is in MLflow for our server, and in a folder for the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet

from include.registry.state import switch_champion
from include.registry.versions import register_version
from include.settings import Settings
from include.spec.windows import needed_partitions
from include.training.packaged_model import TabularModel, encode
from tests.bench.lab import MODEL, Bench, Document, open_bench

Row = dict[str, Any]
TREES = 150
ROWS = 2000
_TRAINING: dict[str, Any] = {
    "window": timedelta(days=45),
    "validation": timedelta(days=7),
    "holdout": timedelta(days=7),
    "rounds": TREES,
    "early_stopping_rounds": TREES,
}


@dataclass(frozen=True)
class Served:
    """The model that everybody serves.

    :param bench: where the champion's version is registered and champion.
    :param folder: the champion as MLflow logged it.
    :param rows: real rows as requests carry them, the entity's columns included.
    :param inputs: the same rows with nothing but the model's input columns.
    :param matrix: the same rows as the booster sees them, shape (rows, features).
    :param expected: the packaged model's predictions for them.
    :param trainings: outputs of train: the champion's and a challenger's, that differ in their seeds.
    """

    bench: Bench
    folder: Path
    rows: list[Row]
    inputs: list[Row]
    matrix: np.ndarray[Any, np.dtype[np.float32]]
    expected: list[float]
    trainings: list[Document]


@contextmanager
def trained() -> Iterator[Served]:
    """Train the champion and a challenger on the last two months of the flights."""
    with open_bench(**_TRAINING) as bench:
        training_set = _data(bench)
        trainings = []
        for seed in (7, 8):
            definition = bench.definition.model_copy(
                update={"training": bench.definition.training.model_copy(update={"seed": seed})}
            )
            one = replace(bench, definition=definition)
            trainings.append(one.in_this_process("train", {"training_set": training_set}))
        yield _served(bench, training_set, trainings)


def crown(settings: Settings, served: Served) -> list[int]:
    """Register both versions in the settings' database and make the first one champion; returns their numbers."""
    versions = [_register(settings, served.bench.as_of, training) for training in served.trainings]
    switch_champion(settings, MODEL, versions[0], actor="bench", reason="bench")
    return versions


def _register(settings: Settings, as_of: datetime, training: Document) -> int:
    values = {key: training[key] for key in ("fingerprint", "run_id", "artifact_digest", "model_uri")}
    windows = training["training_set"]["windows"]
    return register_version(settings, MODEL, **values, as_of=as_of, windows=windows).version.version


def _data(bench: Bench) -> Document:
    """Ingest, prepare and assemble what the training needs; returns the training set's reference."""
    run = bench.in_this_process
    keys = [partition.key for partition in needed_partitions(bench.definition, bench.as_of)]
    staged = run("ingest", {"first": keys[0], "last": keys[-1]})
    published = run("publish", {"gate": run("gate", {"stage": "raw", "staged": staged})})
    prepared = run("prepare", {"published": published})
    run("publish", {"gate": run("gate", {"stage": "features", "staged": prepared})})
    return run("assemble", {})


def _served(bench: Bench, training_set: Document, trainings: list[Document]) -> Served:
    import mlflow
    from mlflow.artifacts import download_artifacts

    mlflow.set_tracking_uri(bench.settings.tracking_url)
    folder = Path(download_artifacts(trainings[0]["model_uri"], dst_path=str(bench.settings.home / "model")))
    model = TabularModel.open(folder / "artifacts")
    directory = bench.settings.store / training_set["directory"]
    inputs = _json_rows(directory / "holdout_inputs.parquet", list(model.columns))
    entity = _json_rows(directory / "holdout.parquet", list(getattr(model, "entity", {})))
    holdout = parquet.read_table(directory / "holdout.parquet").slice(0, ROWS).to_pandas()
    return Served(
        bench=bench,
        folder=folder,
        rows=[{**extra, **row} for row, extra in zip(inputs, entity, strict=True)],
        inputs=inputs,
        matrix=encode(holdout, model.features),
        expected=list(model.predict_rows(inputs)),
        trainings=trainings,
    )


def _json_rows(file: Path, columns: list[str]) -> list[Row]:
    """The first rows of a file as requests carry them: times in ISO 8601, NaN as null."""
    table = parquet.read_table(file).slice(0, ROWS).select(columns)
    if not columns:
        return [{} for _ in range(ROWS)]
    return [{name: _json(value) for name, value in row.items()} for row in table.to_pylist()]


def _json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return None if isinstance(value, float) and value != value else value
