"""Ten million rows from PostgreSQL: memory, and a read that is killed in its middle. ``python -m tests.bench.source``.

The step ingest runs as a child process under a limit of its address space (RLIMIT_AS); its peak is the kernel's own
high-water mark of resident memory (VmHWM). The first child is killed with SIGKILL when some windows have been read; the
second must read only the others, and stage every row.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from include.settings import PROJECT
from include.stack.postgres import Postgres
from tests.lake.factories import write_suites
from tests.lake.sql_world import sql_definition

DAYS = 32
_TABLE = """
CREATE UNLOGGED TABLE orders AS
SELECT timestamp '2024-01-01' + n * (interval '{days} days' / {rows}) AS at,
       'shop ' || mod(n, 1000) AS shop, n AS number,
       sqrt(n) AS price, mod(n, 3) = 0 AS express, mod(n, 7)::float8 AS days
FROM generate_series(0, {rows} - 1) AS n
"""


@dataclass(frozen=True)
class Child:
    """How a child ended: exit code, peak of resident memory in MiB, seconds, its log."""

    code: int
    peak: float
    seconds: float
    log: str


class Bench:
    """A database with many rows, and a model that reads them."""

    def __init__(self, folder: Path, postgres: Postgres, limit: int) -> None:
        self.folder = folder
        self.limit = limit
        postgres.create_database("shop")
        postgres.create_database("noria")
        self.url = postgres.url("shop")
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(PROJECT),
            "NORIA_HOME": str(folder / "home"),
            "NORIA_MODELS": str(folder),
            "NORIA_EXPECTATIONS": str(folder / "home" / "expectations"),
            "NORIA_DATABASE_URL": postgres.url("noria"),
            "NORIA_CONNECTION_SHOP": self.url,
            "NORIA_RESULT": str(folder / "result.json"),
        }
        from include.settings import Settings

        self.settings = write_suites(Settings.from_environment(self.environment))
        document = sql_definition().model_dump(mode="json", exclude_defaults=True)
        (folder / "orders.yaml").write_text(json.dumps(document))

    def fill(self, rows: int) -> None:
        """Make the table."""
        engine = sa.create_engine(self.url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            connection.exec_driver_sql(_TABLE.format(rows=rows, days=DAYS))
            connection.exec_driver_sql("CREATE INDEX ON orders USING brin (at)")

    def windows(self) -> list[Path]:
        """Windows that have been read whole."""
        return list(self.settings.store.glob("staging/orders/raw/extract-*/[0-9]*.csv"))

    def ingest(self, *, kill_after: int | None = None) -> Child:
        """Run the step; with ``kill_after`` kill it when so many windows are there."""
        inputs = json.dumps({"first": "2024-01-01", "last": "2024-02-01"})
        words = ["ingest", "--model", "orders", "--as-of", "2024-03-01T00:00:00+00:00", "--inputs", inputs]
        log = self.folder / f"log-{uuid.uuid4().hex}"
        began = time.monotonic()
        with log.open("w") as file:
            child = subprocess.Popen(
                [sys.executable, "-m", "include.steps", *words],
                env=self.environment, cwd=PROJECT, stderr=file, stdout=file, start_new_session=True,
            )  # fmt: skip
            resource.prlimit(child.pid, resource.RLIMIT_AS, (self.limit, self.limit))
            peak = 0.0
            while child.poll() is None:
                peak = max(peak, _peak(child.pid))
                if kill_after is not None and len(self.windows()) >= kill_after:
                    os.killpg(child.pid, signal.SIGKILL)
                    break
                time.sleep(0.05)
            return Child(child.wait(), peak, time.monotonic() - began, log.read_text())


def _peak(pid: int) -> float:
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def main() -> int:
    """Print what was found; exit code 1 if rows are missing or a window was read twice."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.source", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--limit", type=float, default=4, help="of the address space, in GiB")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
        postgres = Postgres.for_instance(Path(folder) / "postgres", f"bench-{uuid.uuid4().hex[:12]}")
        postgres.start()
        try:
            bench = Bench(Path(folder), postgres, int(options.limit * (1 << 30)))
            bench.fill(options.rows)
            return _report(bench, options.rows, options.limit)
        finally:
            postgres.stop()
            postgres.delete()


def _report(bench: Bench, rows: int, limit: float) -> int:
    killed = bench.ingest(kill_after=5)
    there = len(bench.windows())
    print(
        f"killed with SIGKILL after {killed.seconds:.1f} s, {there} windows had been read, peak {killed.peak:,.0f} MiB"
    )
    done = bench.ingest()
    if done.code:
        print(done.log[-3000:])
        return 1
    asked = re.search(r"(\d+) windows to read, (\d+) are there", done.log)
    read, kept = (int(number) for number in asked.groups()) if asked else (0, 0)
    staged = json.loads((bench.folder / "result.json").read_text())
    print(f"resumed: {kept} windows kept, {read} read; {staged['rows']:,} rows in {staged['partitions']} partitions")
    print(f"it took {done.seconds:.1f} s; peak {done.peak:,.0f} MiB, address space limited to {limit:g} GiB")
    return 0 if (kept, staged["rows"], staged["partitions"]) == (there, rows, DAYS) and killed.code == -9 else 1


if __name__ == "__main__":
    sys.exit(main())
