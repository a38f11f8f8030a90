"""Traffic that champion and challenger meet, as the compactor leaves it in the tables: for the tests of the judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from include.registry import stages
from include.serving.request_log.commits import OpenedTable
from include.serving.request_log.tables import FEEDBACK, INFERENCE
from include.settings import Settings

MODEL = "m"
AS_OF = datetime(2013, 10, 1, tzinfo=UTC)
WHO = {"actor": "ana", "reason": "because"}
Row = dict[str, Any]


@dataclass
class Traffic:
    """Requests of one row each, as the compactor leaves them; request n is about entity e<n % 40>."""

    settings: Settings
    start: datetime
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))
    written: int = 0

    def probability(self, numbers: np.ndarray) -> np.ndarray:
        return 0.1 + 0.6 * np.abs(np.sin(numbers))

    def send(
        self,
        rows: int,
        *,
        challenger: Callable[[np.ndarray], np.ndarray] = lambda p: p,
        share: float = 0.0,
        fails: Callable[[int], bool] = lambda _: False,
        slower_ms: float = 0.0,
        scored: bool = True,
        labels: bool = False,
        at: datetime | None = None,
        role: str = "canary",
        **changes: Any,
    ) -> None:
        """Requests that champion (1) and challenger (2) meet; the challenger answers ``share`` of the entities."""
        numbers = np.arange(self.written, self.written + rows)
        self.written += rows
        said, other = self.probability(numbers), challenger(self.probability(numbers))
        lines: list[Row] = []
        for place, n in enumerate(numbers.tolist()):
            same = {
                "request_id": f"r{n}", "row": 0, "entity": f"e{n % 40}", "revision": 1, "deployment": "run-1",
                "protocol": "rows", "rows_in_request": 1, "asked": False, "error": None, "segment": "s", "position": n,
                "at": (at or self.start) + timedelta(milliseconds=place),
                "input_scheduled_at": datetime(2013, 12, 1 + n % 12, 12), **changes,  # noqa: DTZ001
            }  # fmt: skip
            mine = (n % 40) < 40 * share
            champion_us, challenger_us = 1000 + int(n % 7), 1000 + int(n % 5) + int(slower_ms * 1000)
            failure = f"ValueError: {n}" if fails(n) else None
            answered_by_champion = {**same, "version": 1, "role": "champion", "answered": True}
            answered_by_champion |= {"prediction": said[place], "latency_us": champion_us}
            scored_row = {**same, "answered": False, "asked": None, "entity": None, "input_scheduled_at": None}
            if mine and failure:
                lines += [
                    answered_by_champion,
                    {**same, "version": 2, "role": role, "answered": False, "error": failure},
                ]
            elif mine:
                lines.append({**same, "version": 2, "role": role, "answered": True, "prediction": other[place]})
                lines[-1]["latency_us"] = challenger_us
                lines.append({**scored_row, "version": 1, "role": "champion", "prediction": said[place]})
            else:
                lines.append(answered_by_champion)
                if scored:
                    timed = champion_us if n % 4 == 0 else None
                    lines.append({**scored_row, "version": 2, "role": role, "champion_latency_us": timed})
                    lines[-1] |= {"latency_us": challenger_us, "error": failure}
                    lines[-1]["prediction"] = None if failure else other[place]
        self.write("inference", lines)
        if labels:
            truth = self.random.random(rows) < said
            self.label({f"r{n}": float(true) for n, true in zip(numbers.tolist(), truth, strict=True)})

    def label(self, labels: dict[str, float], *, minutes: float = 0) -> None:
        at = self.start + timedelta(minutes=minutes)
        self.write(
            "feedback",
            [
                {"request_id": name, "row": 0, "label": label, "at": at, "received_at": at,
                 "segment": "f", "position": n, "item": 0}
                for n, (name, label) in enumerate(labels.items())
            ],
        )  # fmt: skip

    def write(self, table: str, lines: list[Row]) -> None:
        schema = INFERENCE if table == "inference" else FEEDBACK
        if table == "inference":
            schema = schema.append(pa.field("input_scheduled_at", pa.timestamp("us")))
        rows = [{**line, "day": f"{line.get('received_at', line['at']):%Y-%m-%d}"} for line in lines]
        OpenedTable(self.settings, MODEL, table).append(pa.Table.from_pylist(rows, schema), {}, {})  # type: ignore[arg-type]


def plan(stage: str = "canary_50", kind: str = "canary", **changes: Any) -> dict[str, Any]:
    return {
        "stage": stage, "kind": kind, "task": "binary_classification", "metric": "roc_auc", "threshold": 0.5,
        "evidence": {"requests": 300, "labels": 0, "time_s": None}, "length_s": None, "event_time": "scheduled_at",
        "rollback": {
            "error_rate": 0.01, "p99_ms": 100, "added_ms": 10, "prediction_shift": 0.2, "quality_margin": 0.02,
        },
        "started_at": datetime.now(UTC).isoformat(), "champion": 1, **changes,
    }  # fmt: skip


def enter(settings: Settings, kind: str = "canary", share: float = 0.5, *, minutes: float = 60, **changes: Any) -> None:
    stage = f"{kind}_{share * 100:g}" if share else kind
    stages.enter_stage(
        settings, MODEL, 2, role=kind, share=share, deployment="run-1", **WHO,  # type: ignore[arg-type]
        plan=plan(stage, kind, **changes), until=datetime.now(UTC) + timedelta(minutes=minutes),
    )  # fmt: skip
