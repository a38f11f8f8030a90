"""Metaflow, Prefect, Dagster and ZenML with the same steps: each in an environment of its own, from a lock with hashes.

An environment holds what the peer needs; the project's packages are behind them on its path, so that a flow calls the
very same functions. None of them may report anything to anybody.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from include.settings import PROJECT
from tests.bench.environments import CannotRun, install_locked
from tests.bench.line.timing import Row
from tests.bench.line.world import CallFailed, run_command
from tests.e2e.line import Line

SCRIPTS: Final = Path(__file__).parent / "peers"


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


def environment_of(package: str, folder: Path) -> Path:
    """Make a peer's environment, which sees the project's packages as well; returns its folder of programs.

    :raises CannotRun: if a package cannot be installed.
    """
    programs = install_locked(folder / package, SCRIPTS / f"{package}.lock")
    [packages] = programs.parent.glob("lib/python*/site-packages")
    (packages / "project.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs


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
