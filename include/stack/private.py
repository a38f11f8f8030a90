"""A private place: store, PostgreSQL and MLflow's files of its own below one folder, with nobody else in it."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from include.hashing import home_key
from include.settings import Settings
from include.stack.postgres import Postgres


@dataclass(frozen=True)
class PrivatePlace:
    """One such place.

    :param home: its folder.
    :param postgres: its cluster, which listens on a Unix socket only.
    """

    home: Path
    postgres: Postgres

    @classmethod
    def of(cls, home: Path, purpose: str) -> PrivatePlace:
        """The place of a folder; nothing is made yet.

        :param purpose: what it is for, one word; begins the cluster's name.
        """
        name = f"{purpose}-{hashlib.sha256(str(home).encode()).hexdigest()[:12]}"
        return cls(home=home, postgres=Postgres.for_instance(home, name))

    def start(self, settings: Settings) -> Settings:
        """Start it, also again; returns the settings that lead there.

        MLflow is its database alone: whoever makes an experiment says where its files go, or is in :attr:`home`.

        :param settings: where definitions, suites, connections and the key are by which personal data is hashed.
        :raises PostgresFailed: with PostgreSQL's own message.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        self.postgres.start()
        for database in ("noria", "mlflow"):
            self.postgres.create_database(database)
        own_key = home_key(settings)
        return replace(
            settings,
            home=self.home,
            store=self.home / "store",
            bucket=None,
            database_url=self.postgres.url("noria"),
            tracking_url=self.postgres.url("mlflow"),
            hashing_key=settings.hashing_key or (own_key if own_key.exists() else None),
        )

    def drop_database(self) -> None:
        """Stop PostgreSQL and delete its data; the files stay."""
        self.postgres.stop()
        self.postgres.delete()

    def remove(self) -> None:
        """Delete everything."""
        self.drop_database()
        shutil.rmtree(self.home, ignore_errors=True)
