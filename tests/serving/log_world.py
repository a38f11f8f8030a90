"""Small factories for the tests of the request log: settings, shapes, logs, and what the tables hold."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from include.hashing import Hashing
from include.lake.connections import open_duckdb
from include.serving.protocols.calls import Call
from include.serving.request_log.records import Shape
from include.serving.request_log.segments import log_folder
from include.serving.request_log.tables import scan_feedback, scan_inference
from include.serving.request_log.writer import RequestLog
from include.settings import Settings

COLUMNS = {"at": "timestamp", "carrier": "string", "seats": "integer", "temp": "number", "cargo": "boolean"}
ROW = {"at": "2013-10-01T05:00:00", "carrier": "UA", "seats": 149, "temp": 39.5, "cargo": False}
NOW_US = int(time.time() * 1e6)


def without_suites(settings: Settings) -> Settings:
    return replace(settings, expectations=settings.home / "expectations")


def shape(version: int = 1, model: str = "m", **changes: Any) -> Shape:
    return Shape(**{"model": model, "version": version, "columns": COLUMNS, "entity": {"carrier": "string"}} | changes)


def open_log(settings: Settings, **changes: Any) -> RequestLog:
    return RequestLog(log_folder(settings.home), hashing=Hashing.of(settings), **changes)


def answer(log: RequestLog, request_id: str, *rows: dict[str, Any], of: Shape | None = None, **changes: Any) -> bool:
    """Log an answered request; keyword arguments replace what is logged of it."""
    given = list(rows) or [ROW]
    values: dict[str, Any] = {
        "shape": of or shape(), "request_id": request_id, "role": "champion", "revision": 3, "at_us": NOW_US,
        "asked": False, "protocol": "rows", "call": Call(len(given), rows=given), "predictions": [0.25] * len(given),
        "latency_us": 120,
    }  # fmt: skip
    return log.answered(**values | changes)


def logged(settings: Settings, what: str = "*", *, model: str = "m", table: str = "inference") -> list[Any]:
    """The log table's rows by order of request, row and version; single values if ``what`` is one column."""
    with open_duckdb(settings) as connection:
        (scan_inference if table == "inference" else scan_feedback)(connection, settings, model, "logged")
        order = "request_id, row, version" if table == "inference" else "received_at, position, item"
        found = connection.sql(f"SELECT {what} FROM logged ORDER BY {order}".replace("row,", '"row",'))
        rows = found.to_arrow_table().to_pylist()
    return [value for row in rows for value in row.values()] if rows and len(rows[0]) == 1 else rows


def segment_files(settings: Settings) -> list[Path]:
    return sorted(path for path in log_folder(settings.home).iterdir() if path.suffix in {".open", ".closed"})


def write_suite(settings: Settings, stage: str, expectations: Sequence[dict[str, Any]], model: str = "m") -> None:
    path = settings.expectations / model / f"{stage}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    items = [{"severity": "critical", "meta": {"notes": "For the test."}} | item for item in expectations]
    path.write_text(json.dumps({"name": f"{model}.{stage}", "expectations": items}))
