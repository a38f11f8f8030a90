"""A stack remembers its name, ports, secrets and processes, and takes nobody else's port."""

from __future__ import annotations

import socket
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from include.stack.instance import (
    NoPort,
    PortTaken,
    ProcessIdentity,
    is_free,
    load_instance,
    new_instance,
    save_instance,
    with_free_ports,
)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_it_is_read_back_as_it_was_written_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    instance = new_instance({}).with_process("mlflow", ProcessIdentity(pid=12, started=3.5))
    save_instance(tmp_path / "home", instance)
    assert load_instance(tmp_path / "home") == instance
    assert stat.S_IMODE((tmp_path / "home" / "stack.json").stat().st_mode) == 0o600


def test_the_folder_of_a_stack_becomes_its_owners_only(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    save_instance(home, new_instance({}))
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_there_is_none_where_none_was_set_up(tmp_path: Path) -> None:
    assert load_instance(tmp_path) is None


def test_two_stacks_share_neither_name_nor_secrets() -> None:
    one, other = new_instance({}), new_instance({})
    assert one.name != other.name
    assert not set(one.secrets.values()) & set(other.secrets.values())


def test_every_service_gets_a_free_port_of_its_own() -> None:
    ports = new_instance({}).ports
    assert set(ports) == {"airflow", "mlflow", "server", "exporter"}
    assert len(set(ports.values())) == 4
    assert all(is_free(port) for port in ports.values())


def test_a_port_asked_for_by_name_is_taken_or_refused_but_never_replaced(taken_port: int) -> None:
    with pytest.raises(PortTaken, match=f"{taken_port}, asked for by NORIA_MLFLOW_PORT"):
        new_instance({"NORIA_MLFLOW_PORT": str(taken_port)})


def test_a_port_that_is_no_number_is_one_clear_error() -> None:
    with pytest.raises(NoPort, match=r"NORIA_SERVER_PORT is 'http'"):
        new_instance({"NORIA_SERVER_PORT": "http"})


def test_a_port_that_somebody_took_meanwhile_is_replaced_and_the_others_stay(taken_port: int) -> None:
    instance = new_instance({})
    moved = with_free_ports(replace(instance, ports={**instance.ports, "mlflow": taken_port}))
    assert moved.ports["mlflow"] > taken_port
    assert moved.ports["airflow"] == instance.ports["airflow"]
    assert len(set(moved.ports.values())) == 4


def test_a_stack_of_before_the_exporter_gets_a_port_for_it_and_keeps_its_own(tmp_path: Path) -> None:
    instance = new_instance({})
    older = {name: port for name, port in instance.ports.items() if name != "exporter"}
    save_instance(tmp_path, replace(instance, ports=older))
    found = load_instance(tmp_path)
    assert found is not None
    assert {name: found.ports[name] for name in older} == older
    assert found.ports["exporter"] not in older.values()
