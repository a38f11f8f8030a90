"""Tasks that work together: all run at once (Spark's barrier), and none is waited for once another has failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from threading import Event, Thread
from typing import Any, Final, cast

from include.engines.spark.errors import Outcome, SparkFailed, cause_of

_PATIENCE: Final = 10.0
"""Seconds in which the others are to notice by themselves that one has failed."""


def run_together(context: Any, share: Callable[[int], Any], count: int) -> list[Outcome]:
    """What the shares gave, one for each number below ``count``; only those that failed, if others had to be cut off.

    A share that waits for one that has failed may wait for ever: XGBoost's communicator loses an error that arrives
    between two of its operations (``Loop::Block`` ends the thread that its later ones wait for).

    :raises SparkFailed: if an executor was lost.
    """
    failed = context.accumulator((), _parameter())

    def run(numbers: Iterable[int]) -> Iterator[Outcome]:
        from pyspark import BarrierTaskContext

        number = next(iter(numbers))
        BarrierTaskContext.get().barrier()
        outcome = Outcome.of(lambda: share(number))
        if outcome.error is not None:
            failed.add((outcome,))
        yield outcome

    ended, cut_off = Event(), Event()
    watch = Thread(target=_watch, args=(context, failed, ended, cut_off), daemon=True)
    watch.start()
    try:
        return cast(list[Outcome], context.parallelize(range(count), count).barrier().mapPartitions(run).collect())
    except Exception as error:  # Java's, of whatever kind
        if not cut_off.is_set():
            raise SparkFailed("train", cause_of(error)) from error
        return list(failed.value)
    finally:
        ended.set()
        watch.join()  # or it could cut off what comes next


def _watch(context: Any, failed: Any, ended: Event, cut_off: Event) -> None:
    """End the job if one of its tasks has failed and the others do not end."""
    while not ended.wait(1):
        if failed.value:
            if not ended.wait(_PATIENCE):
                cut_off.set()
                context.cancelAllJobs()
            return


def _parameter() -> Any:
    """How an accumulator gathers tuples; PySpark is not here before an engine is asked for."""
    from pyspark.accumulators import AccumulatorParam

    class Gathered(AccumulatorParam):  # type: ignore[misc]
        def zero(self, value: Any) -> Any:
            return value[:0]

        def addInPlace(self, value1: Any, value2: Any) -> Any:  # noqa: N802 (Spark's name)
            return value1 + value2

    return Gathered()
