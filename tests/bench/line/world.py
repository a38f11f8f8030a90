"""A running stack with the flagship and models that are like it, one for each contender: equal data, equal work."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

from include.settings import PROJECT
from include.spec.loader import find_definition
from include.stack.course import plan_course
from tests.bench.copies import MODEL
from tests.bench.line.chain import AS_OF, INPUTS, RECORD
from tests.bench.line.chain import MODEL as MODEL_VARIABLE
from tests.bench.line.timing import Row, StepTimes, split_calls
from tests.bench.running import running_line
from tests.e2e.line import Line

_PARSED_SECONDS: Final = 120.0


class CallFailed(Exception):
    """A command that calls the steps failed; carries the end of what it said."""


@contextmanager
def stack_with(folder: Path, contenders: Sequence[str]) -> Iterator[Line]:
    """The flagship in Airflow, search off, and a model like it for each contender; all data is published."""
    line = Line(folder)
    line.copy_project()
    for file in (folder / "dags").glob("*.py"):
        if file.stem not in ("__init__", MODEL, "noria_alerts"):
            file.unlink()
    for contender in contenders:
        line.define(model_of(contender), MODEL, lambda _: None)
        (folder / "dags" / f"{model_of(contender)}.py").unlink()
    with running_line(line):
        line.land_flights()
        models = [MODEL, *map(model_of, contenders)]
        done = line.command("exec", "python", "-m", "tests.bench.line.data", *models, seconds=1200)
        if done.returncode != 0:
            raise SystemExit(f"The data was not published:\n{done.stdout}{done.stderr}")
        line.wait_for_dag(f"{MODEL}.train", _PARSED_SECONDS)
        line.wait_for_dag(f"{MODEL}.deploy", _PARSED_SECONDS)
        # What a training starts is not part of it: its deployment would run beside the next contender.
        line.api.call("PATCH", f"/dags/{MODEL}.deploy", json={"is_paused": True})
        yield line


def model_of(contender: str) -> str:
    """Name of a contender's model."""
    return f"{MODEL}_{contender}"


def instants(line: Line, count: int) -> list[str]:
    """So many instants of trainings, a day apart, the last one the flagship's own; none is trained twice."""
    definition = find_definition(line.settings, MODEL)
    last = plan_course(definition, None).as_of
    return [(last - timedelta(days=days)).isoformat() for days in reversed(range(count))]


def run_command(
    line: Line, contender: str, as_of: str, command: Sequence[str], environment: Mapping[str, str], folder: Path
) -> dict[str, Row]:
    """Run a command that calls the steps; seconds by task and part.

    :param environment: beside the stack's own.
    :param folder: where it runs.
    :raises CallFailed: if it fails, or has not called all steps.
    """
    record = line.home / f"{contender}.record"
    record.unlink(missing_ok=True)
    variables = {**line.stack.environment(), MODEL_VARIABLE: model_of(contender), AS_OF: as_of, RECORD: str(record)}
    launched = time.time()
    done = subprocess.run(
        list(command), env={**variables, **environment}, cwd=folder, capture_output=True, text=True, check=False
    )
    exited = time.time()
    steps = [StepTimes(**json.loads(text)) for text in record.read_text().splitlines()] if record.exists() else []
    if done.returncode != 0 or [step.task for step in steps] != list(INPUTS):
        raise CallFailed(f"exit code {done.returncode}: {(done.stdout + done.stderr).strip()[-1500:]}")
    return split_calls(steps, launched, exited)


def run_plain(line: Line, as_of: str) -> dict[str, Row]:
    """The steps in one plain Python process."""
    return run_command(line, "plain", as_of, [sys.executable, "-m", "tests.bench.line.plain"], {}, PROJECT)


def empty_folder(path: Path) -> Path:
    """A folder of this name, made anew."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path
