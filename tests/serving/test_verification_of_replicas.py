"""One name stands for several servers: a version is live when each of them answers with it."""

from __future__ import annotations

import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from include.serving.app import build
from include.serving.replicas import LiveServers, replica_urls
from include.serving.verification import ServerUnreachable, VersionNotServed
from include.settings import Settings
from include.stack.postgres import Postgres
from tests.serving.engine import challenge, enter, order, save_model
from tests.serving.live import FAST, Logged, as_process, deploy, free_port, until

NAME = "replicas.test"
HERE = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
PERTURBED = """
from include.serving import loaded
honest = loaded.LoadedModel.predict
loaded.LoadedModel.predict = lambda self, call: [answer + 1 for answer in honest(self, call)]
from include.serving.__main__ import main
main()
"""


@dataclass
class Name:
    """What the name stands for now.

    :param addresses: its addresses, by the number of times that it was looked up.
    """

    addresses: Callable[[int], tuple[str, ...]]
    looked_up: int = 0


@pytest.fixture
def name(monkeypatch: pytest.MonkeyPatch) -> Name:
    """A name of which this process alone knows the addresses."""
    known = Name(lambda _: HERE[:2])
    real = socket.getaddrinfo

    def look_up(host: Any, port: Any, family: int = 0, *more: Any, **named: Any) -> Any:
        if host != NAME:
            return real(host, port, family, *more, **named)
        if family == socket.AF_INET6:
            raise socket.gaierror
        known.looked_up += 1
        found = known.addresses(known.looked_up)
        return [one for address in found for one in real(address, port, family, *more, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> list[Logged]:
    return [save_model(tmp_path_factory.mktemp("saved"), seed) for seed in (1, 2)]


@pytest.fixture
def world(stored_settings: Settings, saved: list[Logged]) -> Settings:
    """Version 1 is champion, version 2 its challenger."""
    for model in saved:
        enter(stored_settings, model)
    deploy(stored_settings, 1)
    challenge(stored_settings, 2)
    return stored_settings


@contextmanager
def serving(settings: Settings, address: str, port: int) -> Iterator[None]:
    """A replica with a home of its own."""
    own = replace(settings, home=settings.home / address)
    config = uvicorn.Config(build(own, FAST), host=address, port=port, log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    yield
    server.should_exit = True
    thread.join(timeout=10)


@contextmanager
def replicas(settings: Settings, *addresses: str) -> Iterator[str]:
    """Replicas on one port; yields the address by their name."""
    port = free_port()
    with ExitStack() as ends:
        for address in addresses:
            ends.enter_context(serving(settings, address, port))
        yield f"http://{NAME}:{port}"


def rows_of(url: str) -> tuple[list[dict[str, Any]], list[float]]:
    """Rows, and what version 2 on the first replica says of them."""
    rows = [order(number) for number in range(30)]
    address = f"{url.replace(NAME, HERE[0])}/models/m/versions/2/predict"
    until(lambda: httpx.post(address, json={"rows": rows}, trust_env=False).status_code == 200)
    return rows, httpx.post(address, json={"rows": rows}, trust_env=False).json()["predictions"]


def servers(url: str, seconds: float = 20.0) -> LiveServers:
    return LiveServers(url, "m", seconds=seconds)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"http://{NAME}:81", ["http://127.0.0.1:81", "http://127.0.0.2:81"]),
        (f"http://ana:word@{NAME}:81", ["http://ana:word@127.0.0.1:81", "http://ana:word@127.0.0.2:81"]),
        (f"https://{NAME}", [f"https://{NAME}"]),
        ("http://127.0.0.1:81", ["http://127.0.0.1:81"]),
        ("http://localhost:81", ["http://localhost:81"]),
        ("http://no-such-name.invalid:81", ["http://no-such-name.invalid:81"]),
    ],
)
def test_a_name_with_several_addresses_names_the_replicas(name: Name, url: str, expected: list[str]) -> None:
    assert replica_urls(url) == expected


@pytest.mark.database
def test_every_replica_is_asked(world: Settings, name: Name) -> None:
    with replicas(world, *HERE[:2]) as url:
        rows, expected = rows_of(url)
        servers(url).wait_for(2)
        found = servers(url).verify(2, rows, expected)
    assert (found.servers, found.differences, found.answers) == (2, [], 2 * (30 + 25))


@pytest.mark.database
def test_one_replica_that_answers_otherwise_is_found_and_named(
    world: Settings, name: Name, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with replicas(world, HERE[0]) as url:
        rows, expected = rows_of(url)
        port = url.rpartition(":")[2]
        other = replace(world, home=tmp_path / "other")
        more = ("--host", HERE[1], "--port", port, "--background", "off")
        with as_process(other, tmp_path / "server.log", script=PERTURBED, more=more):
            servers(url, 60).wait_for(2)
            found = servers(url).verify(2, rows, expected)
    assert found.servers == 2
    assert {difference.server for difference in found.differences} == {f"http://127.0.0.2:{port}"}
    assert len(found.differences) > 10


@pytest.mark.database
def test_a_replica_that_does_not_hold_the_version_yet_is_waited_for(
    world: Settings, name: Name, postgres: Postgres
) -> None:
    postgres.create_database(behind := f"behind_{uuid.uuid4().hex[:8]}")
    with replicas(world, HERE[0]) as url:
        late = serving(replace(world, database_url=postgres.url(behind)), HERE[1], int(url.rpartition(":")[2]))
        with late, pytest.raises(VersionNotServed, match=r"127\.0\.0\.2"):
            servers(url, 1.0).wait_for(2)
    postgres.drop_database(behind)


@pytest.mark.database
def test_a_replica_that_is_away_is_waited_for_as_long_as_callers_may_meet_it(world: Settings, name: Name) -> None:
    with replicas(world, HERE[0]) as url:
        rows_of(url)
        with pytest.raises(ServerUnreachable, match=r"127\.0\.0\.2"):
            servers(url, 1.0).wait_for(2)
        leaves_after = name.looked_up + 12
        name.addresses = lambda times: HERE[:2] if times < leaves_after else HERE[:1]
        began = time.monotonic()
        servers(url, 60.0).wait_for(2)
        assert time.monotonic() - began < 30


@pytest.mark.database
def test_a_replica_that_comes_meanwhile_is_asked_too(world: Settings, name: Name) -> None:
    with replicas(world, *HERE) as url:
        rows, expected = rows_of(url)
        comes_after = name.looked_up + 2
        name.addresses = lambda times: HERE[:2] if times < comes_after else HERE
        assert servers(url).verify(2, rows, expected).servers == 3


@pytest.mark.database
def test_nobody_there_is_said_with_the_name(world: Settings, name: Name) -> None:
    name.addresses = lambda _: ()
    with pytest.raises(ServerUnreachable, match=rf"{NAME}:81"):
        servers(f"http://{NAME}:81", 0.5).wait_for(2)
