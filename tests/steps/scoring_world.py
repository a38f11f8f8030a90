"""A small world for batch scoring: raw partitions in a real lake, packaged models in a real MLflow, real PostgreSQL."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest

from include.lake.connections import open_duckdb
from include.lake.table import LakeTable
from include.registry import state, versions
from include.registry.mlflow_client import connect
from include.settings import Settings
from include.spec.definition import Definition
from include.steps.catalog import load_step
from include.steps.protocol import Document, StepCall
from include.training.package import log_package
from include.training.packaged_model import TabularModel
from tests.training.factories import make_definition, make_package, make_rows
from tests.training.lake import ingest, land

MODEL = "late"
DAYS = ["2013-01-01", "2013-01-02", "2013-01-03"]
AS_OF = datetime(2013, 1, 4, 5, tzinfo=UTC)  # midnight in New York after the third day
TRAINED = datetime(2012, 12, 1, 5, tzinfo=UTC)
COLUMNS = ["left_at", "number", "prediction", "model_version", "as_of", "data_source"]


@dataclass(frozen=True)
class Logged:
    """A model in MLflow that is not registered yet, and the same model opened from its files."""

    seed: int
    run_id: str
    model_uri: str
    artifact_digest: str
    packaged: TabularModel


def expectation(kind: str, severity: str = "critical", **kwargs: Any) -> dict[str, Any]:
    return {"type": kind, "kwargs": kwargs, "severity": severity, "meta": {"notes": "It matters."}}


RAW = [
    expectation("expect_table_row_count_to_be_between", min_value=50),
    expectation("expect_column_values_to_not_be_null", column="delay"),
    expectation("expect_column_values_to_be_between", column="distance", min_value=0, max_value=100_000),
    expectation("expect_column_mean_to_be_between", column="distance", min_value=500, max_value=2000),
]
PREDICTIONS = [
    expectation("expect_column_values_to_not_be_null", column="label"),
    expectation("expect_column_values_to_be_between", column="prediction", min_value=0, max_value=1),
    expectation("expect_column_stdev_to_be_between", column="prediction", min_value=0.01),
]


def write_suite(settings: Settings, stage: str, *expectations: dict[str, Any]) -> None:
    path = settings.expectations / MODEL / f"{stage}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"name": f"{MODEL}.{stage}", "expectations": list(expectations)}))


def log_model(settings: Settings, folder: Path, seed: int) -> Logged:
    """Train a small model and log it."""
    definition = make_definition(training={"seed": seed, "rounds": 10})
    packaged, _, _ = make_package(folder / str(seed), definition)
    client = connect(settings)
    known = client.get_experiment_by_name("scoring")
    experiment = known.experiment_id if known else client.create_experiment("scoring")
    with mlflow.start_run(experiment_id=experiment) as run:
        example = make_rows(2)[list(packaged.columns)]
        logged = log_package(folder / str(seed) / "package", example=example, run_id=run.info.run_id)
    return Logged(seed, run.info.run_id, logged.model_uri, logged.artifact_digest, packaged)


@dataclass(frozen=True)
class World:
    """Three published days, and models to score them with."""

    settings: Settings
    logged: list[Logged]

    @property
    def definition(self) -> Definition:
        return make_definition()

    def with_settings(self, **changes: Any) -> World:
        return replace(self, settings=replace(self.settings, **changes))

    def register(self, number: int, *, digest: str | None = None, as_of: datetime = TRAINED) -> int:
        """Register a logged model; returns its version."""
        logged = self.logged[number]
        outcome = versions.register_version(
            self.settings,
            MODEL,
            fingerprint=uuid.uuid4().hex,
            run_id=logged.run_id,
            as_of=as_of + timedelta(seconds=number),
            artifact_digest=digest or logged.artifact_digest,
            model_uri=logged.model_uri,
        )
        return outcome.version.version

    def crown(self, version: int) -> int:
        state.switch_champion(self.settings, MODEL, version, actor="ana", reason="test", force=True)
        return version

    @property
    def champion(self) -> int:
        """The champion's number; MLflow is shared, so it is any."""
        champion = state.champion(self.settings, MODEL)
        assert champion is not None
        return champion.version

    def call(self, *, as_of: datetime = AS_OF, attempt: str | None = None, **inputs: Any) -> StepCall:
        return StepCall(
            settings=self.settings,
            definition=self.definition,
            as_of=as_of,
            attempt=attempt or uuid.uuid4().hex,
            inputs=inputs,
        )

    def score(self, **inputs: Any) -> Document:
        """Run the step as the command line does; of three days if nothing else is said."""
        chosen = {} if "path" in inputs or "last" in inputs else {"first": DAYS[0], "last": DAYS[-1]}
        return load_step("score")(self.call(**{**chosen, **inputs}))

    @property
    def table(self) -> LakeTable:
        return LakeTable(self.settings, MODEL, "scores")

    def rows(self, *keys: str, version: int | None = None) -> pd.DataFrame:
        with open_duckdb(self.settings) as connection:
            self.table.scan(connection, "scores", version=version, keys=list(keys) or None)
            return connection.execute("SELECT * FROM scores ORDER BY partition, _row").df()

    def raw(self, key: str) -> pd.DataFrame:
        with open_duckdb(self.settings) as connection:
            LakeTable(self.settings, MODEL, "raw").scan(connection, "raw_rows", keys=[key])
            rows = connection.sql("SELECT * FROM raw_rows ORDER BY _row").to_arrow_table()
            return rows.to_pandas(integer_object_nulls=True)

    def state(self) -> dict[str, tuple[str, str]]:
        """Digest and inputs of each published partition."""
        return {key: (record.digest, record.inputs) for key, record in self.table.partitions().items()}

    def deliver(self, name: str, frame: pd.DataFrame) -> Path:
        """Put a file below ``landing/new``."""
        path = self.settings.store / "landing" / "new" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_parquet(path, index=False)
        return path


def build(settings: Settings, logged: list[Logged]) -> World:
    """Land and publish the days, and write suites."""
    settings = replace(settings, expectations=settings.home / "expectations", models=settings.home / "models")
    write_suite(settings, "raw", *RAW)
    write_suite(settings, "predictions", *PREDICTIONS)
    world = World(settings, logged)
    land(settings, make_rows(600, days=3))
    ingest(settings, world.definition, DAYS)
    return world


@pytest.fixture(scope="session")
def scoring_tracking(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('scoring')}/mlflow.db"


@pytest.fixture(scope="session")
def scoring_models(tmp_path_factory: pytest.TempPathFactory, scoring_tracking: str) -> list[Logged]:
    folder = tmp_path_factory.mktemp("scoring-models")
    settings = Settings.from_environment({"NORIA_HOME": str(folder), "NORIA_TRACKING_URL": scoring_tracking})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return [log_model(settings, folder, seed) for seed in (1, 2)]


@pytest.fixture
def lake(stored_settings: Settings, scoring_tracking: str, scoring_models: list[Logged]) -> World:
    return build(stored_settings, scoring_models).with_settings(tracking_url=scoring_tracking)


@pytest.fixture
def crowned(lake: World) -> World:
    """The first model is champion."""
    lake.crown(lake.register(0))
    return lake


def unlabelled(count: int, seed: int = 5) -> pd.DataFrame:
    """Rows as an application delivers them: without the label's column."""
    return make_rows(count, seed=seed).drop(columns=["delay"])
