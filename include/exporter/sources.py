"""Asks all sources at once, for a bounded time: one that is away or broken is a 0 of its own, never a failed scrape."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

SECONDS: Final = 8.0
"""How long a scrape waits for its sources; less than Prometheus' own patience, which is 10 s."""

log = logging.getLogger("noria.exporter")


@dataclass(frozen=True)
class Source:
    """Something that is asked for its figures.

    :param name: label of its ``noria_source_up``.
    :param read: its metrics of this moment; raises whatever is wrong.
    """

    name: str
    read: Callable[[], Iterable[Metric]]


@dataclass(frozen=True)
class Answer:
    """What a source has said, and how long that took."""

    metrics: tuple[Metric, ...]
    seconds: float


class Sources(Collector):
    """The sources as a collector of Prometheus' client. A source that still hangs is not asked a second time."""

    def __init__(self, sources: Sequence[Source], seconds: float = SECONDS) -> None:
        self._sources = tuple(sources)
        self._seconds = seconds
        self._one_scrape = threading.Lock()
        self._threads = ThreadPoolExecutor(max_workers=max(1, len(self._sources)), thread_name_prefix="source")
        self._asked: dict[str, Future[Answer]] = {}
        self._problems: dict[str, str] = {}

    def collect(self) -> Iterator[Metric]:
        """All metrics of the sources that answer, and of each source whether it did."""
        with self._one_scrape:
            answers = self._ask()
        up = GaugeMetricFamily("noria_source_up", "1 if the exporter could read from a source.", labels=["source"])
        seconds = GaugeMetricFamily("noria_source_seconds", "How long a source took to answer.", labels=["source"])
        for source in self._sources:
            answer = answers.get(source.name)
            up.add_metric([source.name], 0 if answer is None else 1)
            if answer is not None:
                seconds.add_metric([source.name], answer.seconds)
                yield from answer.metrics
        yield up
        yield seconds

    def describe(self) -> Iterator[Metric]:
        """Nothing, so that registering it asks nobody."""
        return iter(())

    def _ask(self) -> dict[str, Answer]:
        for source in self._sources:
            running = self._asked.get(source.name)
            if running is None or running.done():
                self._asked[source.name] = self._threads.submit(_answer, source)
        wait(self._asked.values(), timeout=self._seconds)
        answers = {}
        for name, asked in self._asked.items():
            problem = _problem(asked, self._seconds)
            if problem is None:
                answers[name] = asked.result()
            self._tell(name, problem)
        return answers

    def _tell(self, name: str, problem: str | None) -> None:
        """Log what has changed, not the same every fifteen seconds."""
        before = self._problems.pop(name, None)
        if problem is not None:
            self._problems[name] = problem
        if problem is not None and problem != before:
            log.warning("the source %s cannot be read: %s", name, problem)
        elif problem is None and before is not None:
            log.info("the source %s can be read again", name)


def _answer(source: Source) -> Answer:
    begin = time.monotonic()
    metrics = tuple(source.read())
    return Answer(metrics, time.monotonic() - begin)


def _problem(asked: Future[Answer], seconds: float) -> str | None:
    if not asked.done():
        return f"no answer within {seconds:.0f} s"
    error = asked.exception()
    return None if error is None else f"{type(error).__name__}: {error}"
