"""A small world in which everything holds: real Delta tables, PostgreSQL, MLflow on SQLite, a request log."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import sqlalchemy as sa
from deltalake import DeltaTable
from mlflow.tracking import MlflowClient

from include.registry import outbox, state, versions
from include.serving.request_log.compaction import Compactor
from include.settings import Settings
from tests.chaos.invariants import Answer, Scene
from tests.serving.live import AS_OF, Logged
from tests.serving.log_world import answer, open_log, shape
from tests.training.factories import make_definition, make_rows
from tests.training.lake import fill, with_suites

MODEL = "late"
DAYS = 3


@dataclass(frozen=True)
class Broken:
    """A copy of the sound world, and the ways to break it."""

    scene: Scene

    @property
    def settings(self) -> Settings:
        """Its settings."""
        return self.scene.settings

    @property
    def client(self) -> MlflowClient:
        """Its MLflow, which all copies share: mend what you break."""
        return MlflowClient(self.settings.tracking_url)

    def sql(self, *statements: str) -> None:
        """Change Noria's database, the ledger as well."""
        engine = sa.create_engine(self.settings.database_url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            connection.execute(sa.text("SET session_replication_role = replica"))  # no triggers, no foreign keys
            for statement in statements:
                connection.execute(sa.text(statement.replace(":m", f"'{MODEL}'")))

    def file(self, table: str, place: int = 0) -> Path:
        """One of a table's data files."""
        folder = self.scene.table(table)
        actions = DeltaTable(str(folder)).get_add_actions(flatten=True)
        return folder / sorted(actions["path"].to_pylist())[place]

    def commit(self, table: str, version: int = -1) -> Path:
        """The file of a commit."""
        return sorted((self.scene.table(table) / "_delta_log").glob("*.json"))[version]

    def edit_commit(self, table: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Change every action of the last commit."""
        file = self.commit(table)
        actions = [json.loads(line) for line in file.read_text().splitlines()]
        for action in actions:
            change(action)
        file.write_text("\n".join(json.dumps(action) for action in actions))

    def rewrite(self, file: Path, select: str) -> None:
        """Replace a Parquet file by a selection ``FROM rows``."""
        changed = file.with_suffix(".changed")
        with duckdb.connect() as connection:
            connection.execute(f"CREATE VIEW rows AS SELECT * FROM read_parquet('{file}')")
            connection.execute(f"COPY ({select}) TO '{changed}' (FORMAT parquet)")
        changed.rename(file)  # a new file: the old one may have more names


def build(settings: Settings, folder: Path, logged: list[Logged]) -> Scene:
    """Three published days, two versions of which the second has replaced the first, ten logged answers."""
    settings = with_suites(settings, folder, MODEL)
    fill(settings, make_definition(), make_rows(300, days=DAYS))
    for number, model in enumerate(logged):
        made = versions.register_version(
            settings,
            MODEL,
            fingerprint=f"f{number}",
            run_id=model.run_id,
            as_of=AS_OF + timedelta(days=number),
            artifact_digest=model.artifact_digest,
            model_uri=model.model_uri,
            decision={"verdict": "promote"},
        )
        state.switch_champion(settings, MODEL, made.version.version, actor="ana", reason="it is better")
    outbox.deliver(settings)
    log = open_log(settings)
    names = [f"r{number}" for number in range(10)]
    for name in names:
        answer(log, name, of=shape(version=2, model=MODEL))
    log.close()
    assert Compactor(settings).run()
    answers = [Answer(name, 2, 0.25) for name in names]
    return Scene(settings, MODEL, settings.store / "landing", answers)


def copy(scene: Scene, home: Path, database_url: str) -> Broken:
    """A copy with a store and a database of its own; MLflow's files, known to be whole, are not read again."""
    shutil.copytree(scene.settings.home, home)
    settings = replace(scene.settings, home=home, store=home / "store", database_url=database_url)
    known = {"whole": set(scene.known["whole"])}
    return Broken(replace(scene, settings=settings, source=settings.store / "landing", known=known))
