"""Starting, stopping and describing the local stack. Starting what runs already is harmless; what died is replaced."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from include.errors import NoriaError
from include.registry.database import ensure_schema
from include.settings import PROJECT, Settings
from include.stack.environment import WAREHOUSE, Stack
from include.stack.instance import Instance, load_instance, make_private, new_instance, save_instance, with_free_ports
from include.stack.keys import ensure_keys, sign_earlier_versions
from include.stack.processes import Service, is_alive, start, stop, wait_until_ready
from include.stack.services import BIN, SUPERVISOR, services

_OUTLIVE_POSTGRES = frozenset({"server", SUPERVISOR})
"""What needs no new start with a new PostgreSQL: the server answers without it and connects again by itself."""
_READY_SECONDS = 180.0
_ORPHAN_SECONDS = 3.0
"""How long what has lost its database may take to end; Airflow would wait for tasks that cannot say how they ended."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class ServiceStatus:
    """What a service is at.

    :param state: ``running``, ``starting`` (alive, not ready) or ``stopped``.
    :param again: how often it has been started again since somebody started it.
    """

    state: str
    again: int = 0

    def __str__(self) -> str:
        return f"{self.state} (started again: {self.again})" if self.again else self.state


class SetupFailed(NoriaError):
    """A command that prepares a database failed; carries its output."""

    def __init__(self, what: str, output: str) -> None:
        self.what = what
        self.output = output
        super().__init__(f"{what} failed:\n{output.strip()[-3000:]}")


def up(settings: Settings, say: Say) -> Stack:
    """Bring the whole stack up and wait until every part is ready.

    :raises NoriaError: naming the part that did not start, with the end of its log.
    """
    with only_one(settings.home):
        instance = load_instance(settings.home) or new_instance(os.environ)
        save_instance(settings.home, instance)
        stack = Stack.of(settings, instance)
        ensure_keys(stack.settings)
        say("Starting PostgreSQL")
        stack.postgres.start()
        _prepare_databases(stack, say)
        stop_orphans(stack)
        if not any(is_alive(identity) for identity in stack.instance.processes.values()):
            stack = _move_to_free_ports(_stop_services(stack))
        stack = _start_services(stack, say)
        sign_earlier_versions(stack.settings, say)
        return stack


def down(settings: Settings, say: Say) -> None:
    """Stop everything that this stack started; its state stays."""
    instance = load_instance(settings.home)
    if instance is None:
        say("Nothing to stop: no stack was ever started here.")
        return
    with only_one(settings.home):
        stack = _stop_services(Stack.of(settings, instance), say)
        stack.postgres.stop()
    say("The stack is down; its state stays in " + str(settings.home))


def remove(settings: Settings, say: Say) -> None:
    """Stop the stack and delete everything that it keeps: databases, lake, models, logs."""
    instance = load_instance(settings.home)
    if instance is not None:
        down(settings, say)
        Stack.of(settings, instance).postgres.delete()
    shutil.rmtree(settings.home, ignore_errors=True)
    say(f"Deleted {settings.home}")


def status(settings: Settings) -> dict[str, ServiceStatus]:
    """What of the stack runs, by service."""
    instance = load_instance(settings.home)
    if instance is None:
        return {}
    stack = Stack.of(settings, instance)
    states = {"postgres": ServiceStatus("running" if stack.postgres.is_running() else "stopped")}
    for service in services(stack):
        process = instance.processes.get(service.name)
        state = "stopped" if not is_alive(process) else "running" if service.ready() else "starting"
        states[service.name] = ServiceStatus(state, process.again if process else 0)
    return states


def addresses(stack: Stack) -> dict[str, str]:
    """The pages for people."""
    return {
        "Airflow": stack.airflow_url,
        "MLflow": stack.settings.tracking_url,
        "Inference server": f"{stack.settings.server_url}/docs",
        **({} if stack.in_pods else {"Metrics": f"{stack.exporter_url}/metrics"}),
    }


def _move_to_free_ports(stack: Stack) -> Stack:
    """While nothing of the stack runs, a port that somebody else took meanwhile can be given up."""
    instance = with_free_ports(stack.instance)
    save_instance(stack.settings.home, instance)
    return Stack.of(stack.settings, instance)


def stop_orphans(stack: Stack) -> None:
    """End what still runs on connections to a PostgreSQL that is gone; it is to be started again.

    Their ages tell it, whoever has started PostgreSQL again: a start that was killed may have come no further.
    """
    began = stack.postgres.started()
    stop(
        (
            process
            for name, process in stack.instance.processes.items()
            if name not in _OUTLIVE_POSTGRES and process.started < began
        ),
        _ORPHAN_SECONDS,
    )


def _start_services(stack: Stack, say: Say) -> Stack:
    missing = [service for service in services(stack) if not is_alive(stack.instance.processes.get(service.name))]
    if missing:
        say("Starting " + ", ".join(service.name for service in missing))
    for service in missing:
        stack = start_again(stack, service, again=0)
    for service in services(stack):
        wait_until_ready(service, stack.instance.processes[service.name], _READY_SECONDS)
    return stack


def start_again(stack: Stack, service: Service, again: int) -> Stack:
    """Start a service that is not alive, in the place of what a killed one may have left behind."""
    stop([stack.instance.processes.get(service.name)])
    return _remember(stack, stack.instance.with_process(service.name, replace(start(service), again=again)))


def _stop_services(stack: Stack, say: Say | None = None) -> Stack:
    alive = [name for name, process in stack.instance.processes.items() if is_alive(process)]
    if alive and say:
        say("Stopping " + ", ".join(alive))
    stop(stack.instance.processes.values())
    return _remember(stack, replace(stack.instance, processes={}))


def _remember(stack: Stack, instance: Instance) -> Stack:
    save_instance(stack.settings.home, instance)
    return replace(stack, instance=instance)


def _prepare_databases(stack: Stack, say: Say) -> None:
    """Create and migrate the databases once for each set of installed packages."""
    marker = stack.settings.home / "prepared"
    lock = (PROJECT / "requirements.lock").read_bytes() + (PROJECT / "airflow_settings.yaml").read_bytes()
    wanted = f"{stack.instance.name} {_digest(lock)}{' in pods' if stack.in_pods else ''}"
    if marker.exists() and marker.read_text() == wanted:
        return
    new = not marker.exists()
    for database in ("airflow",) if stack.in_pods else ("airflow", "mlflow", "noria", WAREHOUSE):
        stack.postgres.create_database(database)
    say("Preparing the databases of Airflow, MLflow and Noria")
    ensure_schema(stack.settings.database_url)
    settings_file = str(PROJECT / "airflow_settings.yaml")
    commands = {
        "Airflow's migration": [sys.executable, "-m", "plugins.settings_loader", "--migrate", settings_file],
    }
    if not new and not stack.in_pods:  # On a new database MLflow's server makes its tables itself.
        commands["MLflow's migration"] = [str(BIN / "mlflow"), "db", "upgrade", stack.postgres.url("mlflow")]
    _run_together(stack, commands)
    marker.write_text(wanted)


def _run_together(stack: Stack, commands: Mapping[str, list[str]]) -> None:
    environment = stack.environment()
    running = {
        what: subprocess.Popen(
            command, env=environment, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for what, command in commands.items()
    }
    outputs = {what: process.communicate()[0] for what, process in running.items()}
    for what, process in running.items():
        if process.returncode != 0:
            raise SetupFailed(what, outputs[what])


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


@contextmanager
def only_one(home: Path, wait: bool = True) -> Iterator[bool]:
    """One start or stop at a time in a home; False, at once, if there is another and it is not to be waited for."""
    make_private(home)
    with (home / "lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
