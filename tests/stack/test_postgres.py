"""The embedded PostgreSQL starts, holds data over a restart, and listens on no network."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from include.stack.postgres import Postgres

pytestmark = pytest.mark.database


def test_starting_twice_is_harmless_and_data_survives_a_restart(postgres: Postgres, database_url: str) -> None:
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE kept (n int)"))
        connection.execute(sa.text("INSERT INTO kept VALUES (7)"))
    postgres.start()
    began = postgres.started()
    postgres.stop()
    assert not postgres.is_running()
    postgres.start()
    assert postgres.started() > began
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT n FROM kept")) == 7
        assert connection.scalar(sa.text("SHOW listen_addresses")) == ""
