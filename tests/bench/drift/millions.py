"""Ten million rows of twelve numbers: time beside DuckDB's own ``histogram()``, and the peak of memory."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np

from include.lake.connections import open_duckdb, quote_text
from include.monitoring.counting import add_up, count_rows
from include.monitoring.drift import judge_drift
from include.settings import PROJECT, Settings
from include.spec.definition import Drift
from include.training.column_profile import profile_column

_FILES: Final = 10
_ROWS: Final = 1_000_000
_COLUMNS: Final = 12
_ROUNDS: Final = 2


def compare_on_millions(folder: Path) -> None:
    """Print time, ratio and peak of a process that does nothing else."""
    files = _write(folder)
    command = [sys.executable, "-m", "tests.bench.drift.millions", str(folder), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT)
    print(done.stdout or done.stderr)


def _write(folder: Path) -> list[Path]:
    files = [folder / f"part-{place}.parquet" for place in range(_FILES)]
    columns = ", ".join(
        f"((hash(i * 31 + {place}) % 1000000) + (hash(i * 17 + {place}) % 1000000)) / 1e6::DOUBLE AS f{place}"
        for place in range(_COLUMNS)
    )
    with duckdb.connect(config={"threads": 2}) as connection:
        for place, path in enumerate(files):
            rows = f"range({place * _ROWS}, {(place + 1) * _ROWS}) t(i)"
            connection.execute(f"COPY (SELECT {columns} FROM {rows}) TO {quote_text(str(path))}")
    return files


def _measure(folder: Path, files: list[Path]) -> None:
    values = np.random.default_rng(0).triangular(0, 1, 2, 50_000)
    profiles = {f"f{place}": profile_column(values, "numeric") for place in range(_COLUMNS)}
    relation = f"read_parquet([{', '.join(quote_text(str(path)) for path in files)}], filename = true)"
    settings = Settings.from_environment({"NORIA_HOME": str(folder / "home")})
    edges = ", ".join(f"{edge!r}::DOUBLE" for edge in profiles["f0"]["edges"])
    histograms = ", ".join(f"histogram({name}, [{edges}])" for name in profiles)
    best = {"histogram()": float("inf"), "ours": float("inf")}
    with open_duckdb(settings, memory="512MiB", readable=[folder]) as connection:
        for _ in range(_ROUNDS):  # the fastest of each: what else the machine does meets either
            for name in (*best, *reversed(best)):
                begin = time.perf_counter()
                if name == "ours":
                    _check(connection, relation, profiles)
                else:
                    connection.execute(f"SELECT {histograms} FROM {relation}").fetchall()
                best[name] = min(best[name], time.perf_counter() - begin)
    rows, ratio = _FILES * _ROWS, best["ours"] / best["histogram()"]
    print(f"\n{rows:,} rows, {_COLUMNS} features: histogram() {best['histogram()']:.2f} s, ours {best['ours']:.2f} s,")
    print(f"ratio {ratio:.2f} (goal 1.5), peak of memory {_peak():.0f} MiB (goal 1,000)")


def _check(connection: duckdb.DuckDBPyConnection, relation: str, profiles: dict[str, Any]) -> None:
    """Count by file, as partitions are, and judge."""
    counted = count_rows(connection, relation, "filename", {name: name for name in profiles}, profiles)
    whole = add_up(profiles, counted.values())
    judge_drift(profiles, whole.columns, rows=whole.rows, limits=Drift())


def _peak() -> float:
    """This process's high-water mark of resident memory, MiB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


if __name__ == "__main__":
    _measure(Path(sys.argv[1]), [Path(path) for path in sys.argv[2:]])
