"""What the steps work in: a folder with the flagship's definition, suites for larger days, a database, a store."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import yaml

from include.datasets import land
from include.settings import PROJECT, Settings
from include.spec.as_of import resolve_as_of
from include.spec.definition import Definition
from include.spec.loader import find_definition
from tests.bench.installation import installation, variables_of
from tests.bench.scale.flights import APART, repeat_flights
from tests.bench.scale.limited import Ended, MemoryGroup

MODEL: Final = "flight_delay"
FLIGHTS: Final = 336_776
Document = dict[str, Any]


class StepFailed(SystemExit):
    """A step ended with another exit code than 0."""

    def __init__(self, step: str, ended: Ended, log: Path) -> None:
        why = "killed: it needed more memory than the limit" if ended.code == -9 else f"exit code {ended.code}"
        super().__init__(f"The step {step} failed ({why}) after {ended.seconds:.0f} s:\n{log.read_text()[-3000:]}")


@dataclass(frozen=True)
class World:
    """One size of data, and everything that the steps need."""

    folder: Path
    settings: Settings

    @property
    def definition(self) -> Definition:
        """The model's."""
        return find_definition(self.settings, MODEL)

    def run(self, group: MemoryGroup, step: str, inputs: Document) -> tuple[Document, Ended]:
        """A step as a process of its own in the group.

        :raises StepFailed: unless it is done.
        """
        as_of = resolve_as_of(self.definition, requested=None, partition_key=None, data_interval_end=None)
        given, result, log = (self.folder / name for name in ("inputs.json", "result.json", f"{step}.log"))
        given.write_text(json.dumps(inputs))
        words = [step, "--model", MODEL, "--as-of", as_of.isoformat(), "--inputs", f"@{given}"]
        ended = group.run(
            [sys.executable, "-m", "include.steps", *words],
            environment=self._environment(result),
            folder=self.folder,  # where MLflow keeps a sqlite store's artifacts
            log=log,
        )
        if ended.code != 0:
            raise StepFailed(step, ended, log)
        return dict(json.loads(result.read_text())), ended

    def _environment(self, result: Path) -> dict[str, str]:
        return {**variables_of(self.settings), "NORIA_RESULT": str(result)}


@contextmanager
def open_world(rows: int, memory: str, rounds: int, place: Path | None) -> Iterator[tuple[World, int]]:
    """A world with so many rows landed, and how many there really are; it is removed at the end.

    :param memory: ``training.resources.memory``.
    :param rounds: so many trees are trained, whatever the size, so that sizes can be compared.
    :param place: where the folder is made.
    """
    with installation("bench-scale", place) as made:
        settings = replace(made.settings, models=made.folder / "models", expectations=made.folder / "expectations")
        _write_definition(settings, memory, rounds)
        _write_suites(settings, rows)
        yield World(made.folder, settings), _land(settings, rows)


def _land(settings: Settings, rows: int) -> int:
    land(replace(settings, models=PROJECT / "include" / "models"), MODEL)
    landed = settings.store / "landing" / "flights"
    original = landed.with_name("original")
    landed.rename(original)
    made = repeat_flights(sorted(original.glob("*.parquet")), landed, rows, whole=FLIGHTS)
    shutil.rmtree(original)
    return made


def _write_definition(settings: Settings, memory: str, rounds: int) -> None:
    document = yaml.safe_load((PROJECT / "include" / "models" / f"{MODEL}.yaml").read_text())
    document["training"] |= {"rounds": rounds, "early_stopping_rounds": rounds}
    document["training"]["resources"]["memory"] = memory
    settings.models.mkdir()
    (settings.models / f"{MODEL}.yaml").write_text(yaml.safe_dump(document, sort_keys=False))


def _write_suites(settings: Settings, rows: int) -> None:
    """The flagship's own, with room for larger days and for the copies' flight numbers."""
    times = max(1.0, rows / FLIGHTS)
    for path in (PROJECT / "expectations" / MODEL).glob("*.json"):
        suite = json.loads(path.read_text())
        for expectation in suite["expectations"]:
            kwargs = expectation["kwargs"]
            if expectation["type"] == "expect_table_row_count_to_be_between":
                kwargs |= {name: int(value * times) for name, value in kwargs.items() if name == "max_value"}
            if kwargs.get("column") == "flight" and "max_value" in kwargs:
                kwargs["max_value"] = APART * int(times + 2)
        target = settings.expectations / MODEL / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(suite))
