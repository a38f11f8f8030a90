"""Alternating rounds: each contender in turn, again and again, so that all share the machine's noise."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil

from tests.bench.serving.contenders import Running
from tests.serving.load import Load, send

SETTLE_SECONDS = 10.0
_STEP = 0.25
_IDLE_SHARE = 0.1


@dataclass(frozen=True, order=True)
class Setting:
    """How much is asked at once."""

    connections: int
    rows: int

    @property
    def name(self) -> str:
        """Such as ``16 connections, 1 row``."""
        one = "connection" if self.connections == 1 else "connections"
        return f"{self.connections} {one}, {self.rows} row{'' if self.rows == 1 else 's'}"


@dataclass
class Measured:
    """One contender at one setting, over all rounds.

    :param rates: answers a second, for each round.
    :param p50: median milliseconds, for each round.
    :param p99: 99th percentile, for each round.
    :param processor: milliseconds of processor time that the server and its children took for each answer, work that
        it puts off included; unlike the others this hardly depends on what else the machine does.
    :param failed: requests without a 200.
    """

    rates: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    failed: int = 0

    def add(self, load: Load, processor_seconds: float) -> None:
        """Add a round."""
        answered = load.answered
        self.failed += len(load.sent) - len(answered)
        times = [(one.ended - one.started) * 1000 for one in answered]
        cuts = statistics.quantiles(times, n=100) if len(times) > 1 else [float("nan")] * 99
        self.rates.append(len(answered) / load.seconds)
        self.p50.append(cuts[49])
        self.p99.append(cuts[98])
        self.processor.append(1000 * processor_seconds / max(1, len(answered)))

    def to_document(self) -> dict[str, Any]:
        """Medians over the rounds, and the rounds themselves."""
        return {
            "requests_per_second": statistics.median(self.rates),
            "p50_ms": statistics.median(self.p50),
            "p99_ms": statistics.median(self.p99),
            "processor_ms": statistics.median(self.processor),
            "failed": self.failed,
            "rounds": {
                "requests_per_second": self.rates,
                "p50_ms": self.p50,
                "p99_ms": self.p99,
                "processor_ms": self.processor,
            },
        }


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median over the rounds of the ratio within a round."""
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def measure(field_of: Sequence[Running], setting: Setting, *, rounds: int, seconds: float) -> dict[str, Measured]:
    """Measure every contender at a setting, in alternating rounds; a short first one warms up and does not count."""
    found = {one.contender.name: Measured() for one in field_of}
    bodies = {one.contender.name: one.contender.bodies(setting.rows) for one in field_of}
    for number in range(-1, rounds):
        # Every second round the other way round: none has always the same one before it.
        for one in field_of if number % 2 else reversed(field_of):
            name = one.contender.name
            duration = seconds if number >= 0 else min(1.0, seconds)
            before = _processor_seconds(one.process.pid)
            load = send(one.template, bodies[name], setting.connections, seconds=duration, named=False)
            settle(one.process.pid)
            if number >= 0:
                found[name].add(load, _processor_seconds(one.process.pid) - before)
    return found


def settle(pid: int, seconds: float = SETTLE_SECONDS) -> float:
    """Wait until a process and its children have finished what they still do; returns the seconds it took."""
    begin = time.monotonic()
    used = _processor_seconds(pid)
    while time.monotonic() - begin < seconds:
        time.sleep(_STEP)
        now = _processor_seconds(pid)
        if now - used < _IDLE_SHARE * _STEP:
            break
        used = now
    return time.monotonic() - begin


def _processor_seconds(pid: int) -> float:
    total = 0.0
    try:
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            times = process.cpu_times()
            total += times.user + times.system
    except psutil.NoSuchProcess:
        pass
    return total
