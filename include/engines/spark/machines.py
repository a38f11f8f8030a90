"""Spark's executors as machines that boost together: each has its share of the rows, on its own disk, in batches.

XGBoost's own communicator joins them, as in ``xgboost.spark``; that one would hold each share in memory whole. All
tasks of a training run at once (Spark's barrier), and ranks follow the tasks' numbers, so that sums are made in one
order and the model is the same every time.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import Any, Final

import xgboost
from xgboost.collective import CommunicatorContext
from xgboost.tracker import RabitTracker

from include.engines.spark.barrier import run_together
from include.engines.spark.errors import Outcome
from include.engines.spark.session import SparkSession
from include.engines.spark.workers import with_own_secrets, without_secrets
from include.lake.store import store_of
from include.settings import Settings
from include.training.encoded_on_disk import EncodedOnDisk
from include.training.trainers.boosting import Boosted, Boosting, Curves, boost

_FEWEST_ROWS: Final = 100
"""Of each part for each machine: fewer rows are not worth one, and none at all would be an error."""


@dataclass(frozen=True)
class _Trees:
    """A booster as bytes, and what XGBoost said."""

    raw: bytes
    curves: Curves
    warnings: tuple[str, ...]


class SparkMachines:
    """See :class:`include.training.trainers.boosting.Machines`."""

    def __init__(self, session: SparkSession) -> None:
        self._session = session

    @property
    def document(self) -> Mapping[str, Any]:
        """By what the rows are shared out, and so in what order sums are made."""
        return {"name": "spark", "executors": self._session.engine.executors, "fewest_rows": _FEWEST_ROWS}

    def boost(self, boosting: Boosting) -> Boosted:
        """See :class:`include.training.trainers.boosting.Machines`.

        :raises SparkFailed: if an executor was lost too often.
        """
        count = self._count(boosting)
        context = self._session.context
        host = context.getConf().get("spark.driver.host")
        tracker = RabitTracker(host_ip=host, n_workers=count, sortby="task")
        tracker.start()
        Thread(target=_wait_for, args=(tracker,), daemon=True).start()
        settings = without_secrets(self._session.settings)
        told = _without_labels(replace(boosting, params={**boosting.params, "nthread": self._session.engine.cpu}))
        try:
            found = run_together(context, _share(settings, told, tracker.worker_args(), count), count)
        finally:
            with suppress(xgboost.core.XGBoostError):  # it says of a try that was cut off that it was cut off
                tracker.free()
        trees: _Trees = _errors_first(found)[0].get()
        for said in trees.warnings:
            warnings.warn(said, stacklevel=2)
        booster = xgboost.Booster()
        booster.load_model(bytearray(trees.raw))
        return Boosted(booster=booster, curves=trees.curves)

    def _count(self, boosting: Boosting) -> int:
        parts = [boosting.train] if boosting.validation is None else [boosting.train, boosting.validation]
        rows = min(len(part) for one in parts if isinstance(one, EncodedOnDisk) for part in one.parts)
        return max(1, min(self._session.engine.executors, rows // _FEWEST_ROWS))


def _wait_for(tracker: RabitTracker) -> None:
    """Let the communicator do its part until the machines are done, or gone."""
    with suppress(xgboost.core.XGBoostError):
        tracker.wait_for()


def _without_labels(boosting: Boosting) -> Boosting:
    """The same without what has been read of its rows: executors read their own."""
    validation = None if boosting.validation is None else replace(boosting.validation)
    return replace(boosting, train=replace(boosting.train), validation=validation)


def _errors_first(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """At last what is nothing, and before it the trees. Of errors at first those of one machine, such as a full disk:
    that it is gone, XGBoost then says on all others, and what it refuses it says on each."""

    def order(outcome: Outcome) -> int:
        if outcome.error is None:
            return 3 if outcome.result is None else 2
        return 1 if issubclass(outcome.error[0], xgboost.core.XGBoostError) else 0

    return sorted(outcomes, key=order)


def _share(
    settings: Settings, boosting: Boosting, communicator: Mapping[str, Any], count: int
) -> Callable[[int], _Trees | None]:
    def boost_share(number: int) -> _Trees | None:
        # The rank follows the task's number as a text.
        arguments = {**communicator, "dmlc_task_id": f"{number:06}"}
        return _boost_share(settings, boosting.share(number, count), arguments, number)

    return boost_share


def _boost_share(settings: Settings, own: Boosting, communicator: Mapping[str, Any], number: int) -> _Trees | None:
    """The trees, which all machines have at the end; only the first one sends them back."""
    _bring(with_own_secrets(settings), own)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with CommunicatorContext(**communicator):
            boosted = boost(own)
    if number:
        return None
    said = tuple(str(warning.message) for warning in caught)
    return _Trees(bytes(boosted.booster.save_raw(raw_format="ubj")), boosted.curves, said)


def _bring(settings: Settings, own: Boosting) -> None:
    """Have its files on this machine, and a folder for its pages."""
    for rows in (own.train, own.validation):
        if isinstance(rows, EncodedOnDisk):
            for part in rows.parts:
                Path(part.scratch).mkdir(parents=True, exist_ok=True)
                store_of(settings).fetch(*part.paths, fixed=True)
