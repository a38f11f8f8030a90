"""Features, training sets and models by Spark's executors, in processes of this machine: the same as by this one."""

from __future__ import annotations

import errno
import os
import pickle
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from include.engines.engine import Engine, open_engine
from include.engines.spark import barrier
from include.engines.spark.errors import SparkFailed
from include.engines.spark.machines import _without_labels
from include.features.errors import FeatureFailed
from include.features.staging import FeaturesStage
from include.gates.frames import training_rows
from include.gates.suite import load_suite
from include.lake.pieces import piece_paths
from include.lake.staging import StagedPartition
from include.lake.table import LakeTable
from include.settings import Settings
from include.spec.definition import Definition
from include.stack.postgres import Postgres
from include.training import training_set
from include.training.encoded_on_disk import EncodedOnDisk
from include.training.parameters import ParameterRefused
from include.training.part_on_disk import PartOnDisk
from include.training.run import prepare_job, train_and_log
from include.training.tracking import Tracker
from include.training.trainers.boosting import Boosting
from include.training.training_set import TrainingSet, assemble_training_set
from tests.training.factories import make_class_definition, make_definition, make_rows
from tests.training.lake import AS_OF, fill, land, with_suites

pytestmark = [pytest.mark.spark, pytest.mark.database]

SPARK = {"name": "spark", "executors": 2, "memory": "1Gi"}
ROWS = 6000


@pytest.fixture(scope="module")
def lake(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A lake with published features, which no test changes."""
    folder = tmp_path_factory.mktemp("lake")
    name = f"test_{uuid.uuid4().hex[:12]}"
    postgres.create_database(name)
    settings = Settings.from_environment({"NORIA_HOME": str(folder), "NORIA_DATABASE_URL": postgres.url(name)})
    settings = replace(with_suites(settings, folder), tracking_url=f"sqlite:///{folder}/mlflow.db")
    fill(settings, make_definition(), make_rows(ROWS))
    yield settings
    postgres.drop_database(name)


@pytest.fixture(scope="module")
def spark(lake: Settings) -> Iterator[Engine]:
    """Spark with two executors in this process."""
    with open_engine(lake, make_definition(engine=SPARK)) as engine:
        yield engine


@pytest.fixture
def tracker(lake: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracker:
    monkeypatch.chdir(tmp_path)  # where MLflow keeps a sqlite store's artifacts
    return Tracker(lake.tracking_url)


@pytest.fixture
def pieces(lake: Settings, spark: Engine, monkeypatch: pytest.MonkeyPatch) -> TrainingSet:
    """A training set whose parts lie in pieces."""
    monkeypatch.setattr(training_set, "ROWS_AT_ONCE", 800)
    return assemble_training_set(lake, make_definition(engine=SPARK), AS_OF, spark.workers)


def staged(settings: Settings, definition: Definition, engine: Engine | None = None) -> dict[str, StagedPartition]:
    raw = LakeTable(settings, definition.model, "raw")
    suite = load_suite(settings, definition.model, "features").digest
    stage = FeaturesStage(settings, definition, uuid.uuid4().hex[:12], suite)
    made = stage.stage(sorted(raw.partitions()), raw, {}, force=True, workers=engine and engine.workers)
    return {partition.key: partition for partition in made}


def test_features_are_the_same_files_to_the_byte(lake: Settings, spark: Engine) -> None:
    here, there = staged(lake, make_definition()), staged(lake, make_definition(engine=SPARK), spark)
    assert len(here) == 16
    assert {key: replace(one, path=None) for key, one in there.items()} == {
        key: replace(one, path=None) for key, one in here.items()
    }
    assert all((lake.store / str(one.path)).is_file() for one in there.values())


def test_features_of_the_past_are_the_same(lake: Settings, spark: Engine) -> None:
    history = {"recent": {"by": ["carrier"], "over": "4d", "values": {"rate": {"mean": "delay > 15"}}}}
    past: dict[str, Any] = {"history": history, "features": {"rate": "recent_rate", "hour": "hour(left_at)"}}
    here, there = (
        staged(lake, make_definition(**past)),
        staged(lake, make_definition(**past, engine=SPARK), spark),
    )
    assert [one.checksum for one in there.values()] == [one.checksum for one in here.values()]


def test_an_expression_that_cannot_work_is_told_as_on_one_machine(lake: Settings, spark: Engine) -> None:
    wrong: dict[str, Any] = {"features": {"far": "hour(carrier)"}}
    with pytest.raises(FeatureFailed) as here:
        staged(lake, make_definition(**wrong))
    with pytest.raises(FeatureFailed) as there:
        staged(lake, make_definition(**wrong, engine=SPARK), spark)
    assert str(there.value) == str(here.value)


def test_a_partition_that_is_refused_refuses_no_other(stored_settings: Settings, tmp_path: Path, spark: Engine) -> None:
    settings = with_suites(stored_settings, tmp_path)
    rows = make_rows(600, days=3)
    fill(settings, make_definition(features={"seats": "seats"}), rows.assign(carrier="7"))
    bad: dict[str, Any] = {"features": {"number": "CAST(carrier AS INTEGER)"}}
    land(settings, rows.assign(carrier="x").head(10))
    there = staged(settings, make_definition(**bad, engine=SPARK), spark)
    assert {one.status for one in there.values()} == {"staged"}


def test_a_training_set_has_the_same_rows_in_the_same_order(lake: Settings, spark: Engine, pieces: TrainingSet) -> None:
    whole = assemble_training_set(lake, make_definition(), AS_OF)
    assert pieces.rows == whole.rows
    assert pieces.digest != whole.digest
    names = sorted(path.name for path in pieces.directory.glob("train*.parquet"))
    assert len(names) > 3
    for part in ("train", "validation", "holdout"):
        together = pd.concat([pq.read_table(path).to_pandas() for path in piece_paths(pieces.directory, part)])
        alone = pq.read_table(whole.directory / f"{part}.parquet").to_pandas()
        pd.testing.assert_frame_equal(together.reset_index(drop=True), alone)
    same = (pieces.directory / "holdout_inputs.parquet", whole.directory / "holdout_inputs.parquet")
    assert pq.read_table(same[0]).equals(pq.read_table(same[1]))


def test_a_small_training_set_is_that_of_one_machine(lake: Settings, spark: Engine) -> None:
    whole = assemble_training_set(lake, make_definition(), AS_OF)
    assert assemble_training_set(lake, make_definition(engine=SPARK), AS_OF, spark.workers) == whole


def test_a_gate_reads_all_pieces(lake: Settings, pieces: TrainingSet) -> None:
    rows = training_rows(pieces.directory, load_suite(lake, "late", "raw"), "training set")
    assert rows.count == sum(pieces.rows.values())


def test_a_training_gives_the_same_model_every_time(
    lake: Settings, spark: Engine, pieces: TrainingSet, tracker: Tracker
) -> None:
    definition = make_definition(engine=SPARK, training={"refit": "validation", "calibration": "sigmoid"})
    job = prepare_job(lake, definition, AS_OF, pieces.reference(lake), spark.machines)
    first, second = (train_and_log(job, tracker) for _ in range(2))  # proves the package equal to the trained model
    assert second["artifact_digest"] == first["artifact_digest"]
    assert job.fingerprint.document["engine"] == {"name": "spark", "executors": 2, "fewest_rows": 100}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"training": {"class_weight": "balanced"}},
        {"clean": {"features": {"far": {"missing": {"how": "drop"}}, "seats": {"missing": {"how": "median"}}}}},
    ],
    ids=["plain", "balanced", "cleaned"],
)
def test_its_quality_is_that_of_one_machine(
    lake: Settings, spark: Engine, pieces: TrainingSet, tracker: Tracker, changes: dict[str, Any]
) -> None:
    whole = assemble_training_set(lake, make_definition(), AS_OF)
    here = train_and_log(prepare_job(lake, make_definition(**changes), AS_OF, whole.reference(lake)), tracker)
    definition = make_definition(**changes, engine=SPARK)
    there = train_and_log(prepare_job(lake, definition, AS_OF, pieces.reference(lake), spark.machines), tracker)
    assert there["fingerprint"] != here["fingerprint"]
    assert logloss(lake, there) == pytest.approx(logloss(lake, here), abs=0.01)


def test_several_classes_and_the_weights_of_their_rows_are_shared_out(
    stored_settings: Settings, spark: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = replace(with_suites(stored_settings, tmp_path), tracking_url=f"sqlite:///{tmp_path}/mlflow.db")
    definition = make_class_definition(engine=SPARK, training={"class_weight": "balanced"})
    fill(settings, definition, make_rows(3000))
    monkeypatch.setattr(training_set, "ROWS_AT_ONCE", 700)
    made = assemble_training_set(settings, definition, AS_OF, spark.workers)
    job = prepare_job(settings, definition, AS_OF, made.reference(settings), spark.machines)
    assert train_and_log(job, Tracker(settings.tracking_url))["best_round"] > 1


@pytest.mark.parametrize("params", [{"max_deep": 4}, {"max_depth": -4}])
def test_wrong_parameters_are_refused_as_on_one_machine(
    lake: Settings, spark: Engine, pieces: TrainingSet, tracker: Tracker, params: dict[str, Any]
) -> None:
    definition = make_definition(engine=SPARK, training={"params": params})
    with pytest.raises(ParameterRefused, match=r"max_dee?p"):
        train_and_log(prepare_job(lake, definition, AS_OF, pieces.reference(lake), spark.machines), tracker)


@dataclass(frozen=True)
class Suicidal:
    """Work that ends its own process, so many times."""

    settings: Settings
    folder: Path
    times: int

    def __call__(self, item: int) -> int:
        tries = len(list(self.folder.glob(f"{item}-*")))
        if tries < self.times:
            (self.folder / f"{item}-{tries}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return item * item


def test_work_whose_process_is_killed_is_done_by_another(lake: Settings, spark: Engine, tmp_path: Path) -> None:
    assert spark.workers is not None
    assert spark.workers.map(Suicidal(lake, tmp_path, 1), [1, 2, 3]) == [1, 4, 9]


def test_work_that_always_kills_its_process_is_given_up_and_may_be_tried_again(
    lake: Settings, spark: Engine, tmp_path: Path
) -> None:
    assert spark.workers is not None
    with pytest.raises(SparkFailed, match=r"raise engine\.memory") as failure:
        spark.workers.map(Suicidal(lake, tmp_path, 99), [1])
    assert failure.value.exit_code == 30
    assert spark.workers.map(Suicidal(lake, tmp_path, 0), [5]) == [25]


@dataclass(frozen=True, kw_only=True)
class Dying(EncodedOnDisk):
    """Rows whose second machine is killed when it reads them."""

    def dmatrix(self, features: Any, **options: Any) -> Any:
        from pyspark import BarrierTaskContext

        if BarrierTaskContext.get().partitionId() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().dmatrix(features, **options)


@dataclass(frozen=True, kw_only=True)
class TooLarge(EncodedOnDisk):
    """Rows that the disk of the second machine cannot hold."""

    def dmatrix(self, features: Any, **options: Any) -> Any:
        from pyspark import BarrierTaskContext

        if BarrierTaskContext.get().partitionId() == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().dmatrix(features, **options)


@dataclass(frozen=True, kw_only=True)
class Unnoticed(TooLarge):
    """The same, and the first machine never hears of it."""

    def dmatrix(self, features: Any, **options: Any) -> Any:
        from pyspark import BarrierTaskContext

        if BarrierTaskContext.get().partitionId() == 0:
            time.sleep(3600)
        return super().dmatrix(features, **options)


def boosting_of(settings: Settings, pieces: TrainingSet, kind: type[EncodedOnDisk]) -> Boosting:
    job = prepare_job(settings, make_definition(engine=SPARK), AS_OF, pieces.reference(settings), None)
    features = job.description["features"]
    rows = PartOnDisk(piece_paths(pieces.directory, "train"), settings.home)
    return Boosting(params={"max_depth": 3}, rounds=5, features=features, train=kind(parts=[rows], features=features))


def test_a_training_in_which_an_executor_is_lost_may_be_tried_again(
    lake: Settings, spark: Engine, pieces: TrainingSet
) -> None:
    assert spark.machines is not None
    with pytest.raises(SparkFailed) as failure:
        spark.machines.boost(boosting_of(lake, pieces, Dying))
    assert failure.value.exit_code == 30
    assert spark.machines.boost(boosting_of(lake, pieces, EncodedOnDisk)).booster.num_boosted_rounds() == 5


def test_a_full_disk_of_one_executor_is_told_and_not_that_the_others_miss_it(
    lake: Settings, spark: Engine, pieces: TrainingSet
) -> None:
    assert spark.machines is not None
    with pytest.raises(OSError, match="No space left"):
        spark.machines.boost(boosting_of(lake, pieces, TooLarge))


def test_a_machine_that_does_not_notice_that_another_failed_is_not_waited_for(
    lake: Settings, spark: Engine, pieces: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(barrier, "_PATIENCE", 0.5)
    assert spark.machines is not None
    with pytest.raises(OSError, match="No space left"):
        spark.machines.boost(boosting_of(lake, pieces, Unnoticed))
    assert spark.machines.boost(boosting_of(lake, pieces, EncodedOnDisk)).booster.num_boosted_rounds() == 5


def test_what_was_read_of_the_rows_is_not_sent_to_executors(lake: Settings, pieces: TrainingSet) -> None:
    boosting = boosting_of(lake, pieces, EncodedOnDisk)
    before = len(pickle.dumps(boosting))
    assert len(boosting.train.labels) == pieces.rows["train"]
    assert len(pickle.dumps(_without_labels(boosting))) == before


TWICE = """
from dataclasses import dataclass
from include.engines.engine import open_engine
from include.settings import Settings
from tests.training.factories import make_definition

@dataclass(frozen=True)
class Square:
    settings: Settings
    def __call__(self, item):
        return item * item

settings = Settings.from_environment()
for _ in range(2):
    with open_engine(settings, make_definition(engine="spark")) as engine:
        print(engine.workers.map(Square(settings), [2, 3]), flush=True)
"""


def test_one_process_may_use_the_engine_again_and_again_and_leaves_nothing(tmp_path: Path) -> None:
    variables = {**os.environ, "NORIA_HOME": str(tmp_path)}
    command = [sys.executable, "-c", TWICE]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=250)
    assert done.stdout == "[4, 9]\n[4, 9]\n", done.stderr
    assert [path for path in tmp_path.rglob("*") if "spark" in path.name] == []


def logloss(settings: Settings, output: dict[str, Any]) -> float:
    rows = pq.read_table(settings.store / output["predictions"]).to_pandas()
    label, answer = rows["label"].to_numpy(dtype=float), rows["prediction"].to_numpy().clip(1e-6, 1 - 1e-6)
    return float(-np.mean(label * np.log(answer) + (1 - label) * np.log(1 - answer)))
