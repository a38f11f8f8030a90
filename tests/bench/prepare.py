"""The step prepare beside the same work in raw DuckDB: the same files, select and order, a file for each partition.

Prepare also makes a digest of each partition's rows, by which a version can be proven and reproduced. So raw DuckDB is
timed twice: writing the files only, and with a SHA-256 of each partition's rows, which it makes of their text.
"""

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
    works: dict[str, Callable[[], None]] = {
        "raw DuckDB": lambda: _by_duckdb(definition, files, folder),
        "raw DuckDB with digests": lambda: _by_duckdb(definition, files, folder, digests=True),
        "prepare": lambda: _stage(settings, definition, raw, keys),
    }
    seconds = dict.fromkeys(works, math.inf)
    for _ in range(_ROUNDS):  # there and back, and the fastest of each: what else the machine does meets either
        for name in (*works, *reversed(works)):
            seconds[name] = min(seconds[name], _timed(works[name]))
    shutil.rmtree(folder, ignore_errors=True)
    ours = seconds.pop("prepare")
    print(f"\nfeatures of {len(keys)} partitions: prepare {ours:.2f} s")
    for name, bare in seconds.items():
        print(f"  {name:<26}{bare:>6.2f} s, ratio {ours / bare:.2f} (goal {_GOAL})")


def _timed(work: Callable[[], None]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def _stage(settings: Settings, definition: Definition, raw: LakeTable, keys: Sequence[str]) -> None:
    stage = FeaturesStage(settings, definition, uuid.uuid4().hex[:12], "suite")
    problems = [one.problem for one in stage.stage(keys, raw, {}, force=True) if one.status != "staged"]
    if problems:
        raise SystemExit(f"prepare refused: {problems[0]}")


def _by_duckdb(definition: Definition, files: Mapping[str, Path], folder: Path, *, digests: bool = False) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with duckdb.connect(config={"threads": definition.training.resources.cpu}) as connection:
        names = pa.table({"partition": list(files), "filename": [str(path) for path in files.values()]})
        connection.register("names", names)
        paths = ", ".join(quote_text(str(path)) for path in files.values())
        scan = f"read_parquet([{paths}], filename = true, hive_partitioning = false)"
        connection.execute(f"CREATE VIEW raw_rows AS SELECT * FROM {scan} JOIN names USING (filename)")
        query = features_sql(definition, "raw_rows", extra="partition, _row, ")
        if digests:
            connection.execute(f"CREATE TEMP TABLE features AS {query}")
            query = "SELECT * FROM features"
            text = "string_agg(features::VARCHAR, chr(10) ORDER BY _row)"
            connection.execute(f"SELECT partition, sha256({text}) FROM features GROUP BY 1").fetchall()
        connection.execute(
            f"COPY ({query} ORDER BY partition, _row) TO {quote_text(str(folder))} "
            "(FORMAT parquet, COMPRESSION zstd, PARTITION_BY (partition))"
        )
