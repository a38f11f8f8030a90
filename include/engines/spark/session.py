"""Spark for as long as a step needs it: started when first asked for, with everything that it listens on kept close.

Where Spark runs is said by ``NORIA_SPARK_MASTER``: left out, its executors are threads of the step's own process with a
Python process each; ``kubernetes``: pods beside the step's own; any other address is Spark's own way to say it.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import uuid
import warnings
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from include.engines.spark.errors import EngineMissing, SparkFailed, cause_of
from include.engines.spark.installation import make_importable
from include.engines.spark.java import OPTIONS, java_variables
from include.engines.spark.pods import executor_pods
from include.lake.paths import temporary_folder
from include.settings import Settings
from include.spec.engine import Engine
from include.spec.memory import bytes_of, duckdb_share

KUBERNETES: Final = "kubernetes"
_HEAP: Final = 512
"""MiB of an executor for Java, which only hands the work on: rows never go through it."""
_LOOPBACK: Final = "127.0.0.1"
_LOGGING: Final = Path(__file__).resolve().parent / "conf"
_log = logging.getLogger(__name__)


class SparkSession:
    """A context: the session ends with it, and its executors with the session."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self.settings = settings
        self.engine = engine
        self._context: Any = None
        self._scratch = temporary_folder(settings) / _folder_of(os.getpid())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._context is not None:
            self._context.stop()
        shutil.rmtree(self._scratch, ignore_errors=True)

    @property
    def duckdb_memory(self) -> str:
        """DuckDB's in the work of an executor, in its own words."""
        return duckdb_share(self._python_memory << 20)

    @property
    def _python_memory(self) -> int:
        """MiB of an executor for all but Java."""
        return (bytes_of(self.engine.memory) >> 20) - _HEAP

    @property
    def context(self) -> Any:
        """Spark's context; the first to ask starts it.

        :raises EngineMissing: if PySpark or Java is not here.
        :raises SparkFailed: if it does not start.
        """
        if self._context is None:
            self._context = self._start()
        return self._context

    def _start(self) -> Any:
        make_importable()
        try:
            from pyspark import SparkConf, SparkContext
        except ModuleNotFoundError as error:
            raise EngineMissing("PySpark") from error
        self._scratch.mkdir(parents=True, exist_ok=True)
        # There is no other way to say these: Python of the executors, Java, and what is logged.
        os.environ.update({"PYSPARK_PYTHON": sys.executable, **java_variables()})
        os.environ.setdefault("SPARK_CONF_DIR", str(_LOGGING))
        logging.getLogger("py4j").setLevel(logging.WARNING)  # each of its connections
        # It says so at every start, and what it means (data frames of pandas) is used nowhere here.
        warnings.filterwarnings("ignore", message="PySpark does not yet fully support pandas")
        conf = SparkConf()
        for name, value in self._configuration().items():
            conf.set(name, value)
        try:
            context = SparkContext(conf=conf)
        except Exception as error:  # whatever Java says on its way up
            raise SparkFailed("start", cause_of(error)) from error
        _log.info("Spark %s at %s, %d executors.", context.version, context.master, self.engine.executors)
        return context

    def _configuration(self) -> dict[str, str]:
        engine = self.engine
        return {
            "spark.app.name": "noria",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.local.dir": str(self._scratch),
            "spark.driver.memory": f"{_HEAP}m",
            "spark.executor.memory": f"{_HEAP}m",
            "spark.executor.memoryOverhead": f"{self._python_memory}m",
            "spark.executor.instances": str(engine.executors),
            # One task at a time has all of an executor: its processors and its memory.
            "spark.executor.cores": str(engine.cpu),
            "spark.task.cpus": str(engine.cpu),
            # A training's communicator is good for one try: the step's next try has a new one.
            "spark.stage.maxConsecutiveAttempts": "1",
            "spark.driver.extraJavaOptions": " ".join(OPTIONS),
            **self._place(),
        }

    def _place(self) -> dict[str, str]:
        engine, master = self.engine, self.settings.spark_master
        if master == KUBERNETES:
            return executor_pods(self._scratch, engine.cpu)
        if master is None or master.startswith("local"):
            own = f"local[{engine.executors * engine.cpu},4]"  # each work is tried four times, as in a cluster
            return {
                "spark.master": master or own,
                "spark.driver.host": _LOOPBACK,
                "spark.driver.bindAddress": _LOOPBACK,
            }
        return {"spark.master": master}


@cache
def _folder_of(process: int) -> str:
    """The same for all sessions of a process, since its Java stays with the one that it was first told of.

    In pods every process has the same number, and they may share a store.
    """
    return f"spark-{process}-{uuid.uuid4().hex[:8]}"
