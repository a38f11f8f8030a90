"""A line of steps without Airflow, for faults of disk, clock and database: each step a process with its own exit code.

A PostgreSQL of its own, MLflow on SQLite, a warm parent that forks the steps, and a small synthetic model, ``late``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from include.lake.table import LakeTable
from include.settings import PROJECT, Settings
from include.stack.postgres import Postgres
from include.steps.warm_protocol import connect, socket_path
from plugins.operators.warm import WarmProcess, fork_step
from tests.bench.installation import installation, variables_of
from tests.steps.judging_world import as_of, judged_definition, land, write_suites

Document = dict[str, Any]
MODEL = "late"
FIRST, LAST, LAST_DAY = "2013-01-01", "2013-01-22", 22
_STAGES = ("training", "inference", "feedback", "scoring", "scores")


@dataclass(frozen=True)
class Ended:
    """How a step ended: exit code, output (None without one), what it said, seconds."""

    step: str
    code: int
    output: Document | None
    said: str
    seconds: float

    @property
    def last_line(self) -> str:
        """Its last word."""
        return (self.said.strip().splitlines() or [""])[-1]

    def done(self) -> Document:
        """The output of a step that went well."""
        assert self.code == 0, f"{self.step} ended with {self.code}:\n{self.said}"
        assert self.output is not None
        return self.output

    def tries_again(self, words: str) -> str:
        """Its message, if it ended as something that may go well later, in one line and without a traceback."""
        assert self.code == 30, f"{self.step} ended with {self.code}:\n{self.said}"
        assert "Traceback" not in self.said, self.said
        assert words in self.last_line, self.last_line
        return self.last_line


@dataclass
class Running:
    """A step that runs."""

    step: str
    process: WarmProcess
    result: Path
    started: float = field(default_factory=time.monotonic)

    def end(self) -> Ended:
        """Wait for its end."""
        said = self.process.stdout.read().decode()
        code = self.process.wait(timeout=300)
        output = json.loads(self.result.read_text()) if self.result.exists() else None
        self.result.unlink(missing_ok=True)
        return Ended(self.step, code, output, said, time.monotonic() - self.started)


@dataclass(frozen=True)
class SmallLine:
    """The line's addresses and its steps."""

    folder: Path
    settings: Settings
    postgres: Postgres
    temporary: Path | None = None
    more: Mapping[str, str] = field(default_factory=dict)

    def environment(self, **more: str) -> dict[str, str]:
        """Variables of its processes."""
        return {
            **variables_of(self.settings),
            **({"TMPDIR": str(self.temporary)} if self.temporary else {}),
            **self.more,
            **more,
        }

    def start(self, step: str, *, day: int = LAST_DAY, inputs: Mapping[str, Any] | None = None) -> Running:
        """Start a step as of the end of a day of January 2013."""
        # MLflow keeps a SQLite store's artifacts in the step's working folder.
        result = self.folder / f"result-{uuid.uuid4().hex}.json"
        words = [step, "--model", MODEL, "--as-of", as_of(day).isoformat(), "--inputs", json.dumps(inputs or {})]
        environment = self.environment(NORIA_RESULT=str(result))
        process = fork_step(self.settings.home, words, environment, self.temporary or self.folder)
        assert process is not None, "the warm parent is gone"
        return Running(step, process, result)

    def step(self, step: str, *, day: int = LAST_DAY, **inputs: Any) -> Ended:
        """Run a step to its end."""
        return self.start(step, day=day, inputs=inputs).end()

    def staged(self, first: str = FIRST, last: str = LAST) -> Document:
        """Raw partitions, staged and judged."""
        return self.step("gate", stage="raw", staged=self.step("ingest", first=first, last=last).done()).done()

    def data(self, first: str = FIRST, last: str = LAST) -> Document:
        """A whole data run; the output of its last publish."""
        published = self.step("publish", gate=self.staged(first, last)).done()
        features = self.step("gate", stage="features", staged=self.step("prepare", published=published).done()).done()
        return self.step("publish", gate=features).done()

    def training(self, **changes: Any) -> Document:
        """A training on what is published; the output of train."""
        training_set = self.step("assemble").done()
        self.step("gate", stage="training", training_set=training_set).done()
        return self.step("train", training_set=training_set, **changes).done()

    def judged(self, training: Document) -> Document:
        """The rest of a training run; the output of register."""
        gate = self.step("gate", stage="predictions", training=training).done()
        self.step("publish", gate=gate).done()
        evaluation = self.step("evaluate", training=training).done()
        decision = self.step("decide", training=training, evaluation=evaluation).done()
        return self.step("register", training=training, evaluation=evaluation, decision=decision).done()

    def rows(self, table: str = "raw") -> dict[str, int]:
        """Rows of each published partition as its commit says."""
        published = LakeTable(self.settings, MODEL, table)
        return {key: record.rows for key, record in published.partitions().items()}

    def whole(self, table: str = "raw") -> None:
        """Check that each partition of a table holds its source file's rows, each once."""
        import pyarrow.parquet as pq

        for key, rows in self.rows(table).items():
            source = pq.read_metadata(self.settings.store / "landing" / f"{key}.parquet").num_rows
            assert rows == source, f"{table} {key}: {rows} rows, its file has {source}"
        opened = LakeTable(self.settings, MODEL, table).open()
        read = opened.to_pyarrow_table(columns=["partition", "_row"]).to_pydict()
        pairs = list(zip(*read.values(), strict=True))
        assert len(pairs) == len(set(pairs)) == sum(self.rows(table).values())


@contextmanager
def small_line(
    store: Path | None = None, temporary: Path | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[SmallLine]:
    """A line that is removed at the end.

    :param temporary: where its steps make temporary files, and MLflow keeps its artifacts.
    :param environment: more variables of its steps, such as a library to load.
    :param store: folder of the store, such as one on a disk of its own; default: beside the rest.
    """
    with installation("faults") as made:
        settings = replace(made.settings, models=made.folder / "models", store=store or made.settings.store)
        line = SmallLine(made.folder, _with_model(settings), made.postgres, temporary, environment or {})
        land(line.settings)
        with chdir(made.folder), _warm_parent(line):
            yield line


def _with_model(settings: Settings) -> Settings:
    settings = write_suites(settings)
    suites = settings.expectations / MODEL
    for stage in _STAGES:
        suite = json.loads((suites / "raw.json").read_text())
        (suites / f"{stage}.json").write_text(json.dumps(suite | {"name": f"{MODEL}.{stage}"}))
    settings.models.mkdir(parents=True)
    document = judged_definition().model_dump(mode="json", exclude_unset=True, by_alias=True)
    (settings.models / f"{MODEL}.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    return settings


@contextmanager
def _warm_parent(line: SmallLine) -> Iterator[None]:
    command = [sys.executable, "-m", "include.steps.warm_parent"]
    with subprocess.Popen(command, env=line.environment(), stderr=subprocess.DEVNULL, cwd=PROJECT) as parent:
        try:
            while (connection := connect(socket_path(line.settings.home), seconds=60)) is None:
                assert parent.poll() is None, "the warm parent did not start"
                time.sleep(0.1)
            connection.close()
            yield
        finally:
            parent.terminate()
