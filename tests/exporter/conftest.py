"""A scrape as Prometheus makes it, read by Prometheus' own client: name and labels of each sample to its value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from include.exporter.sources import Source, Sources
from include.registry.results import record_check
from include.settings import Settings

Samples = dict[tuple[str, ...], float]
Read = Callable[[], Iterable[Metric]]


def samples(*sources: Source, seconds: float = 8.0) -> Samples:
    """Samples by name and the values of their labels in the labels' alphabetical order."""
    registry = CollectorRegistry()
    registry.register(Sources(sources, seconds))
    return parse(generate_latest(registry).decode())


def parse(page: str) -> Samples:
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


@pytest.fixture
def checked(stored_settings: Settings) -> Callable[..., None]:
    """Keep one verdict, as a step does."""

    def check(verdict: str, *, kind: str = "gate", stage: str = "features", day: int = 1, **details: Any) -> None:
        record_check(
            stored_settings,
            model=str(details.pop("model", "m")),
            kind=kind,
            stage=stage,
            as_of=datetime(2013, 5, day, tzinfo=UTC),
            subject=f"2013-05-{day:02}",
            verdict=verdict,
            details=details,
        )

    return check
