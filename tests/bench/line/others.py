"""Metaflow, Prefect, Dagster and ZenML with the same steps: each in an environment of its own, from a lock with hashes.

An environment holds what the peer needs; the project's packages are behind them on its path, so that a flow calls the
very same functions. None of them may report anything to anybody.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from include.settings import PROJECT
from tests.bench.line.timing import Row
from tests.bench.line.world import CallFailed, run_command
from tests.e2e.line import Line

SCRIPTS: Final = Path(__file__).parent / "peers"


class CannotRun(Exception):
    """A peer cannot be installed; the benchmark goes on without it."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One orchestrator.

    :param name: as it is printed.
    :param package: its name, which is also that of its lock and its environment.
    :param how: how its steps run.
    :param command: of a run, for the folder of its environment's programs.
    :param variables: of its environment, for a folder of its own; no telemetry.
    """

    name: str
    package: str
    how: str
    command: Callable[[Path], Sequence[str]]
    variables: Callable[[Path], Mapping[str, str]]

    @property
    def contender(self) -> str:
        """Its name as part of a model's."""
        return "".join(letter if letter.isalnum() else "_" for letter in self.name.lower())


def _metaflow(home: Path) -> dict[str, str]:
    return {
        "METAFLOW_HOME": str(home),
        "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(home),
        "METAFLOW_DEFAULT_EVENT_LOGGER": "nullSidecarLogger",
        "METAFLOW_DEFAULT_MONITOR": "nullSidecarMonitor",
        "USERNAME": "bench",
    }


def _prefect(home: Path) -> dict[str, str]:
    return {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "true",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    }


def _dagster(home: Path, executor: str) -> dict[str, str]:
    return {"DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "true", "BENCH_EXECUTOR": executor}


def _zenml(home: Path) -> dict[str, str]:
    return {
        "ZENML_CONFIG_PATH": str(home),
        "ZENML_LOCAL_STORES_PATH": str(home / "stores"),
        "ZENML_ANALYTICS_OPT_IN": "false",
        "ZENML_LOGGING_VERBOSITY": "WARN",
    }


def _script(name: str, *words: str) -> Callable[[Path], Sequence[str]]:
    return lambda programs: [str(programs / "python"), str(SCRIPTS / name), *words]


def _dagster_command(programs: Path) -> Sequence[str]:
    return [str(programs / "dagster"), "job", "execute", "-f", str(SCRIPTS / "dagster_job.py"), "-j", "train"]


PEERS: Final = (
    Peer(
        name="Metaflow",
        package="metaflow",
        how="local run, a process for each step",
        command=_script("metaflow_flow.py", "--no-pylint", "--quiet", "run"),
        variables=_metaflow,
    ),
    Peer(
        name="Prefect",
        package="prefect",
        how="a flow in one process, its temporary server beside it",
        command=_script("prefect_flow.py"),
        variables=_prefect,
    ),
    Peer(
        name="Dagster",
        package="dagster",
        how="job execute, its default: a process for each step",
        command=_dagster_command,
        variables=lambda home: _dagster(home, "a process each"),
    ),
    Peer(
        name="Dagster in one process",
        package="dagster",
        how="job execute with the in-process executor",
        command=_dagster_command,
        variables=lambda home: _dagster(home, "one process"),
    ),
    Peer(
        name="ZenML",
        package="zenml",
        how="local orchestrator, one process",
        command=_script("zenml_pipeline.py"),
        variables=_zenml,
    ),
)


def environment_of(package: str, folder: Path, locks: Path = SCRIPTS) -> Path:
    """Make a peer's environment, once for the same lock; returns its folder of programs.

    :param locks: the folder of the locks.
    :raises CannotRun: if a package cannot be installed.
    """
    lock = locks / f"{package}.lock"
    home, marker = folder / package, folder / package / "installed.lock"
    wanted = f"# {sys.version}\n{lock.read_text()}"
    if not marker.exists() or marker.read_text() != wanted:
        shutil.rmtree(home, ignore_errors=True)
        uv, python = str(PROJECT / ".venv" / "bin" / "uv"), str(home / "bin" / "python")
        _done([uv, "venv", "--quiet", "--python", sys.executable, str(home)])
        install = [uv, "pip", "install", "--quiet", "--system-certs", "--compile-bytecode", "--require-hashes"]
        _done([*install, "--python", python, "-r", str(lock)])
        [packages] = (home / "lib").glob("python*/site-packages")
        (packages / "project.pth").write_text(sysconfig.get_path("purelib") + "\n")
        marker.write_text(wanted)
    return home / "bin"


def _done(command: Sequence[str]) -> None:
    # Outside the project: uv finds its overrides from any folder below, and holds a peer's lock against them.
    done = subprocess.run(command, cwd=tempfile.gettempdir(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotRun(f"{' '.join(command[:3])} failed: {done.stderr.strip()[-500:]}")


def run_peer(line: Line, peer: Peer, folder: Path, as_of: str) -> dict[str, Row]:
    """One training with a peer; seconds by task and part.

    :param folder: of the peers' environments.
    :raises CannotRun: with the reason.
    """
    programs = environment_of(peer.package, folder)
    home = line.home / "peers" / peer.contender
    home.mkdir(parents=True, exist_ok=True)
    variables = {
        **peer.variables(home),
        "DO_NOT_TRACK": "1",
        "HOME": str(home),
        "PATH": f"{programs}:/usr/bin:/bin",
        "PYTHONPATH": str(PROJECT),
    }
    try:
        return run_command(line, peer.contender, as_of, peer.command(programs), variables, home)
    except CallFailed as failure:
        raise CannotRun(str(failure)) from None
