"""The engine that a definition names, as the steps use it; each is imported only when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from include.settings import Settings
from include.spec.definition import Definition

if TYPE_CHECKING:
    from include.lake.workers import Workers
    from include.training.trainers.boosting import Machines


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Who does the work of a step.

    :param workers: who computes features and training sets; None: this process.
    :param machines: who boosts; None: this process.
    """

    workers: Workers | None = None
    machines: Machines | None = None


@contextmanager
def open_engine(settings: Settings, definition: Definition) -> Iterator[Engine]:
    """The engine of a model, until the end of the step.

    :raises EngineMissing: when it is first used, if it is not installed here.
    """
    if definition.engine.name == "local":
        yield Engine()
        return
    from include.engines.spark.machines import SparkMachines
    from include.engines.spark.session import SparkSession
    from include.engines.spark.workers import SparkWorkers

    with SparkSession(settings, definition.engine) as session:
        yield Engine(workers=SparkWorkers(session), machines=SparkMachines(session))
