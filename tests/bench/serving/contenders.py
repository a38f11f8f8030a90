"""Who is measured: our server, its peers in environments of their own, and the floor; how each is started and asked."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.bench.environments import CannotRun
from tests.serving.load import Template

Row = dict[str, Any]
START_SECONDS = 120.0
SCRIPTS = Path(__file__).parent / "peers"


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One server.

    :param how: how it serves the model, for the table's legend.
    :param command: its command line, for a port.
    :param path: where predictions are asked for.
    :param rows: what it is sent, row by row.
    :param encode: a body for rows.
    :param decode: predictions of an answer.
    :param packages: what its own environment needs; none for the project's.
    :param working_folder: where it is started.
    """

    name: str
    how: str
    command: Callable[[int], Sequence[str]]
    path: str
    rows: Sequence[Any]
    encode: Callable[[Sequence[Any]], bytes]
    decode: Callable[[bytes], list[float]]
    packages: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    working_folder: Path = SCRIPTS

    def bodies(self, per_request: int) -> list[bytes]:
        """Bodies with so many rows each."""
        starts = range(0, len(self.rows) - per_request + 1, per_request)
        return [self.encode(self.rows[start : start + per_request]) for start in starts]


@dataclass(frozen=True)
class Running:
    """A contender that answers."""

    contender: Contender
    template: Template
    process: subprocess.Popen[bytes]


@contextmanager
def running(contender: Contender, port: int, log: Path, expected: Sequence[float]) -> Iterator[Running]:
    """Start a contender and wait until it answers one row as the packaged model does.

    :raises CannotRun: if it ends, does not answer in time, or answers otherwise.
    """
    template = Template(f"http://127.0.0.1:{port}", contender.path)
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(contender.command(port)),
            env={**os.environ, **contender.environment},
            cwd=contender.working_folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        found = _first_answer(contender, template, process, log)
        if [round(value, 5) for value in found] != [round(value, 5) for value in expected[:1]]:
            raise CannotRun(f"{contender.name} predicts {found}, the packaged model {expected[:1]}")
        yield Running(contender, template, process)
    finally:
        _end(process)


def _first_answer(contender: Contender, template: Template, process: subprocess.Popen[bytes], log: Path) -> list[float]:
    deadline, problem = time.monotonic() + START_SECONDS, "nothing answered"
    body, headers = contender.bodies(1)[0], {"Content-Type": "application/json"}
    with httpx.Client(base_url=template.url, trust_env=False, timeout=10) as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                answer = client.post(contender.path, content=body, headers=headers)
            except httpx.HTTPError as error:
                problem = f"{type(error).__name__}: {error}"
            else:
                if answer.status_code == 200:
                    return contender.decode(answer.content)
                problem = f"HTTP {answer.status_code}: {answer.text[:300]}"
            time.sleep(0.2)
    tail = log.read_text(errors="replace").strip()[-800:]
    raise CannotRun(f"{contender.name} does not answer ({problem}); its log ends with:\n{tail}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and what it started: the group is its own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            continue
        if number == signal.SIGTERM:
            time.sleep(0.5)
