"""Our server twice: with everything on (log, metrics, a canary that is scored in pairs), and with a champion alone."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from include.registry import stages
from include.registry.database import ensure_schema
from tests.bench.lab import MODEL
from tests.bench.serving import field
from tests.bench.serving.contenders import Contender
from tests.bench.serving.world import Served, crown

# Nothing that happens in the benchmark ends the stage.
PLAN: dict[str, Any] = {
    "stage": "canary_10",
    "kind": "canary",
    "evidence": {"requests": 10**9, "labels": 0, "time_s": None},
    "rollback": {
        "error_rate": 1.0,
        "p99_ms": None,
        "added_ms": 1e6,
        "prediction_shift": 1e6,
        "quality_margin": 1.0,
    },
    "metric": "roc_auc",
    "task": "binary_classification",
    "length_s": None,
    "threshold": 0.3,
    "label_known_after_s": 86400.0,
}


def with_challenger(served: Served) -> Contender:
    """The server that has a canary with ten percent, whose answers and the champion's are compared on every request."""
    settings = served.bench.settings
    champion, challenger = crown(settings, served)
    now = datetime.now(UTC)
    stages.enter_stage(
        settings,
        MODEL,
        challenger,
        role="canary",
        share=0.1,
        plan={**PLAN, "started_at": now.isoformat(), "champion": champion},
        until=now + timedelta(hours=6),
        deployment="bench",
        actor="bench",
        reason="bench",
    )
    how = "POST /models/{model}/predict; request log, metrics, a canary with 10 % scored in pairs"
    return field.ours(served.bench, served, field.OURS, how)


@contextmanager
def without_challenger(served: Served) -> Iterator[Contender]:
    """The server that has nothing but a champion, with a database and a home of its own."""
    bench, name = served.bench, f"alone_{uuid.uuid4().hex[:8]}"
    bench.postgres.create_database(name)
    home = bench.settings.home.with_name("alone")
    home.mkdir()
    settings = replace(bench.settings, home=home, store=home / "store", database_url=bench.postgres.url(name))
    ensure_schema(settings.database_url)
    crown(settings, served)
    how = "POST /models/{model}/predict; request log, metrics, no challenger"
    yield field.ours(replace(bench, settings=settings), served, field.ALONE, how)
