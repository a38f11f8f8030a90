"""A database, a tracking store and the flagship's real data in a temporary folder: what both benchmarks work in."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from include.datasets import land
from include.settings import Settings
from include.spec.as_of import resolve_as_of
from include.spec.definition import Definition
from include.spec.loader import find_definition
from include.stack.instance import is_free
from include.stack.postgres import Postgres
from include.steps.catalog import load_step
from include.steps.protocol import StepCall
from include.steps.warm_protocol import connect, socket_path
from plugins.operators.warm import fork_step
from tests.bench.installation import installation, variables_of

Document = dict[str, Any]
MODEL = "flight_delay"


@dataclass(frozen=True)
class Bench:
    """A database, a tracking store and landed data, for this run only."""

    settings: Settings
    definition: Definition
    as_of: datetime
    postgres: Postgres

    def environment(self) -> dict[str, str]:
        """Variables of child processes."""
        return variables_of(self.settings)

    def in_this_process(self, step: str, inputs: Document) -> Document:
        """Call a step."""
        attempt = uuid.uuid4().hex[:12]
        call = StepCall(
            settings=self.settings, definition=self.definition, as_of=self.as_of, attempt=attempt, inputs=inputs
        )
        return load_step(step)(call)

    def as_a_process(self, step: str, inputs: Document) -> Document:
        """Run a step's command line."""
        command = [sys.executable, "-m", "include.steps", *self._words(step, inputs)]
        done = subprocess.run(command, env=self._environment(), capture_output=True, text=True, check=False)
        return self._output(step, done.returncode, done.stderr)

    def forked(self, step: str, inputs: Document) -> Document:
        """Let the warm parent that listens in this bench's home fork a step."""
        folder = self.settings.home.parent  # where MLflow keeps a sqlite store's artifacts
        process = fork_step(self.settings.home, self._words(step, inputs), self._environment(), folder)
        if process is None:
            raise SystemExit("There is no warm parent.")
        said = process.stdout.read().decode()
        return self._output(step, process.wait(), said)

    @contextmanager
    def warm_parent(self) -> Iterator[None]:
        """A warm parent that is ready."""
        command = [sys.executable, "-m", "include.steps.warm_parent"]
        with subprocess.Popen(command, env=self.environment(), stderr=subprocess.DEVNULL) as parent:
            try:
                while (connection := connect(socket_path(self.settings.home), seconds=60)) is None:
                    time.sleep(0.1)
                connection.close()
                yield
            finally:
                parent.terminate()

    def _words(self, step: str, inputs: Document) -> list[str]:
        return [step, "--model", MODEL, "--as-of", self.as_of.isoformat(), "--inputs", json.dumps(inputs)]

    def _environment(self) -> dict[str, str]:
        return {**self.environment(), "NORIA_RESULT": str(self._result)}

    @property
    def _result(self) -> Path:
        return self.settings.home / "result.json"

    def _output(self, step: str, exit_code: int, said: str) -> Document:
        if exit_code != 0:
            raise SystemExit(f"The step {step} failed:\n{said}")
        return dict(json.loads(self._result.read_text()))


@contextmanager
def open_bench(**training: Any) -> Iterator[Bench]:
    """A bench that is removed at the end.

    :param training: what of the definition's training section is otherwise.
    """
    with installation("bench") as made:
        port = next(port for port in range(18190, 18290) if is_free(port))
        settings = replace(made.settings, server_url=f"http://127.0.0.1:{port}")
        land(settings, MODEL)
        definition = find_definition(settings, MODEL)
        changed = definition.training.model_copy(update=training)
        definition = definition.model_copy(update={"training": changed})
        as_of = resolve_as_of(definition, requested=None, partition_key=None, data_interval_end=None)
        # MLflow keeps a sqlite store's artifacts in the working folder.
        with chdir(made.folder):
            yield Bench(settings, definition, as_of, made.postgres)
