"""The step prepare beside the same work in raw DuckDB: the same files, select and order, a file for each partition."""

from __future__ import annotations

import math
import shutil
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from include.features.select import features_sql
from include.features.staging import FeaturesStage
from include.lake.connections import quote_text
from include.lake.table import LakeTable
from include.settings import Settings
from include.spec.definition import Definition

_GOAL: Final = 1.2
_ROUNDS: Final = 3


def compare_prepare(settings: Settings, definition: Definition) -> None:
    """Print what the features of all published raw partitions cost, and the ratio to raw DuckDB."""
    raw = LakeTable(settings, definition.model, "raw")
    files = raw.files()
    keys = sorted(files)
    folder = settings.home / "raw-duckdb"
    seconds = {"raw DuckDB": math.inf, "prepare": math.inf}
    for _ in range(_ROUNDS):  # there and back, and the fastest of each: what else the machine does meets either
        for name, work in (
            ("raw DuckDB", lambda: _by_duckdb(definition, files, folder)),
            ("prepare", lambda: _stage(settings, definition, raw, keys)),
            ("prepare", lambda: _stage(settings, definition, raw, keys)),
            ("raw DuckDB", lambda: _by_duckdb(definition, files, folder)),
        ):
            seconds[name] = min(seconds[name], _timed(work))
    shutil.rmtree(folder, ignore_errors=True)
    bare, ours = seconds["raw DuckDB"], seconds["prepare"]
    print(f"\nfeatures of {len(keys)} partitions: raw DuckDB {bare:.2f} s, prepare {ours:.2f} s, ", end="")
    print(f"ratio {ours / bare:.2f} (goal {_GOAL})")


def _timed(work: Callable[[], None]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _stage(settings: Settings, definition: Definition, raw: LakeTable, keys: Sequence[str]) -> None:
    stage = FeaturesStage(settings, definition, uuid.uuid4().hex[:12], "suite")
    problems = [one.problem for one in stage.stage(keys, raw, {}, force=True) if one.status != "staged"]
    if problems:
        raise SystemExit(f"prepare refused: {problems[0]}")


def _by_duckdb(definition: Definition, files: Mapping[str, Path], folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with duckdb.connect(config={"threads": definition.training.resources.cpu}) as connection:
        names = pa.table({"partition": list(files), "filename": [str(path) for path in files.values()]})
        connection.register("names", names)
        paths = ", ".join(quote_text(str(path)) for path in files.values())
        scan = f"read_parquet([{paths}], filename = true, hive_partitioning = false)"
        connection.execute(f"CREATE VIEW raw_rows AS SELECT * FROM {scan} JOIN names USING (filename)")
        query = features_sql(definition, "raw_rows", extra="partition, _row, ")
        connection.execute(
            f"COPY ({query} ORDER BY partition, _row) TO {quote_text(str(folder))} "
            "(FORMAT parquet, COMPRESSION zstd, PARTITION_BY (partition))"
        )
