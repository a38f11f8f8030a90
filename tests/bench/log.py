"""``make bench-log``: what a logged answer costs whoever answers, the disk, and the keeper that fills the tables.

Records like the flagship's, one row each, judged by its own suite.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from include.hashing import Hashing
from include.lake.table import LakeTable
from include.serving.protocols.calls import Call
from include.serving.request_log.compaction import Compactor
from include.serving.request_log.records import Shape
from include.serving.request_log.segments import log_folder
from include.serving.request_log.writer import RequestLog
from include.settings import PROJECT, Settings
from tests.bench.copies import MODEL, names
from tests.bench.installation import Installation, installation

_COLUMNS: Final = {
    "scheduled_at": "timestamp", "carrier": "string", "origin": "string", "dest": "string",
    "sched_dep_time": "integer", "sched_arr_time": "integer", "flight": "integer", "plane_year": "integer",
    "seats": "integer", "distance": "number", "temp": "number", "wind_speed": "number", "precip": "number",
    "visib": "number", "pressure": "number", "humid": "number",
}  # fmt: skip
_ENTITY: Final = {name: _COLUMNS[name] for name in ("carrier", "flight", "origin", "scheduled_at")}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.log", description=__doc__)
    parser.add_argument("--answers", type=int, default=300_000, help="how many are logged (300000)")
    parser.add_argument("--models", default="1,100", help="of how many models (1,100)")
    options = parser.parse_args(arguments)
    print(f"{options.answers:,} answers of {len(_COLUMNS)} columns")
    for models in (int(text) for text in options.models.split(",")):
        with installation("log") as made:
            print(_measured(_with_suites(made, models), models, options.answers), flush=True)
    return 0


def _with_suites(made: Installation, models: int) -> Settings:
    """The flagship's suite of requests for each of so many models."""
    settings = replace(made.settings, expectations=made.folder / "expectations")
    for name in names(models):
        (settings.expectations / name).mkdir(parents=True)
        shutil.copy(PROJECT / "expectations" / MODEL / "inference.json", settings.expectations / name)
    return settings


def _measured(settings: Settings, models: int, answers: int) -> str:
    compactor = Compactor(settings)
    _log(settings, models, models)  # the first pass imports what it needs, and makes the tables
    compactor.run()
    logged = _log(settings, models, answers)
    size = _bytes(log_folder(settings.home))
    began = time.monotonic()
    compactor.run()
    compacted = time.monotonic() - began
    if compactor.done.rows["inference"] != answers + models:
        raise SystemExit(f"Not all were brought into the tables: {compactor.to_document()}")
    kept = sum(_bytes(LakeTable(settings, name, "inference").folder) for name in names(models))
    return (
        f"{models:>4} models: logging one {logged / answers * 1e6:.1f} µs and {size / answers:.0f} bytes; "
        f"a keeper brings {answers / compacted:,.0f} a second into the tables, {compacted:.1f} s in all; "
        f"there {kept / answers:.0f} bytes each"
    )


def _log(settings: Settings, models: int, answers: int) -> float:
    """Seconds that it took to log so many, of each model in turn."""
    shapes = [Shape(model=name, version=1, columns=_COLUMNS, entity=_ENTITY) for name in names(models)]
    log = RequestLog(log_folder(settings.home), hashing=Hashing.of(settings))
    now, rows = int(time.time() * 1e6), [_row(number) for number in range(1000)]
    began = time.monotonic()
    for number in range(answers):
        log.answered(
            shape=shapes[number % models], request_id=f"{number:032x}", role="champion", revision=3, at_us=now,
            asked=False, protocol="rows", call=Call(1, rows=[rows[number % 1000]]), predictions=[number % 997 / 997],
            latency_us=400,
        )  # fmt: skip
    spent = time.monotonic() - began
    log.close()
    return spent


def _row(number: int) -> dict[str, Any]:
    return {
        "scheduled_at": f"2013-12-{number % 28 + 1:02}T{number % 24:02}:30:00",
        "carrier": ("UA", "B6", "EV")[number % 3], "origin": ("EWR", "JFK", "LGA")[number % 3],
        "dest": ("ORD", "BOS", "ATL", "LAX")[number % 4],
        "sched_dep_time": 600 + number % 1700, "sched_arr_time": 700 + number % 1600, "flight": number,
        "plane_year": 1990 + number % 23, "seats": 50 + number % 300, "distance": 200.0 + number % 2400,
        "temp": 30 + number % 400 / 10, "wind_speed": number % 300 / 10, "precip": 0.0, "visib": 10.0,
        "pressure": 1000 + number % 300 / 10, "humid": 30 + number % 600 / 10,
    }  # fmt: skip


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    sys.exit(main())
