"""The embedded PostgreSQL starts, holds data over a restart, and listens on no network."""

from __future__ import annotations

import ctypes
import os
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from include.stack.postgres import Postgres, PostgresFailed

pytestmark = pytest.mark.database


def test_starting_twice_is_harmless_and_data_survives_a_restart(postgres: Postgres, database_url: str) -> None:
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE kept (n int)"))
        connection.execute(sa.text("INSERT INTO kept VALUES (7)"))
    postgres.start()
    began = postgres.started()
    assert postgres.condition() == "running"
    postgres.stop()
    assert not postgres.is_running()
    assert postgres.condition() == "stopped"
    postgres.start()
    assert postgres.started() > began
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT n FROM kept")) == 7
        assert connection.scalar(sa.text("SHOW listen_addresses")) == ""


_PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture
def orphans_are_ours() -> Iterator[None]:
    """What loses its parent becomes a child of this process, which does not take note of its end by itself."""
    kernel = ctypes.CDLL(None)
    kernel.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    yield
    kernel.prctl(_PR_SET_CHILD_SUBREAPER, 0)


def test_a_killed_postmaster_that_nobody_has_buried_yet_is_not_running_and_is_replaced(
    tmp_path: Path, orphans_are_ours: None
) -> None:
    postgres = Postgres.for_instance(tmp_path, f"test-{secrets.token_hex(6)}")
    try:
        postgres.start()
        pid = int((postgres.data / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert not postgres.is_running()
        assert postgres.condition() == "died"
        burial = threading.Thread(target=lambda: (time.sleep(1), os.waitpid(pid, 0)))
        burial.start()
        postgres.start()
        burial.join()
        assert postgres.is_running()
    finally:
        postgres.stop()
        postgres.delete()


def test_an_empty_lock_file_after_a_crash_is_told_in_postgresqls_own_words(tmp_path: Path) -> None:
    postgres = Postgres.for_instance(tmp_path, f"test-{secrets.token_hex(6)}")
    try:
        postgres.start()
        postgres.stop()
        (postgres.data / "postmaster.pid").touch()
        with pytest.raises(PostgresFailed, match=r'PID file ".*postmaster\.pid" is empty'):
            postgres.start()
    finally:
        (postgres.data / "postmaster.pid").unlink(missing_ok=True)
        postgres.delete()


@pytest.mark.parametrize("kind", ["writable by others", "a link", "a stranger's"])
def test_a_folder_for_the_socket_that_somebody_else_could_have_made_is_refused(tmp_path: Path, kind: str) -> None:
    server = Postgres(data=tmp_path / "postgres", programs=tmp_path, user=None)
    server.data.mkdir()
    if kind == "a link":
        (tmp_path / "elsewhere").mkdir()
        server.socket.symlink_to(tmp_path / "elsewhere")
    else:
        server.socket.mkdir()
        server.socket.chmod(0o777 if kind == "writable by others" else 0o700)
    if kind == "a stranger's":
        if os.geteuid() != 0:
            pytest.skip("only root can give a folder away")
        os.chown(server.socket, 65534, 65534)
    with pytest.raises(PostgresFailed, match="not a folder that this user alone can write to"):
        server.start()
