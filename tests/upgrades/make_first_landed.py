"""Makes ``first_landed.tar.xz``: what the first landed version left behind, small and without a path of its machine.

It runs with that version's code, the commit bd46771 of 2026-11-22, and so imports nothing of today's::

    git worktree add /tmp/first bd46771
    cd /tmp/first
    PYTHONPATH=/tmp/first $PROJECT/.venv/bin/python $PROJECT/tests/upgrades/make_first_landed.py ARCHIVE

In it are days of New York's flights, thinned; the lake's tables with a refused day in quarantine; two versions in
MLflow, the second champion after the first; the registry as SQL; pages; and what the server answered. That version's
server wrote no log of its requests. Paths of the machine are written as ``/HOME``: see :mod:`tests.upgrades.old_store`.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
import tarfile
import tempfile
import time
import uuid
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
from fastapi.testclient import TestClient
from psycopg2.extras import Json
from sqlalchemy import create_mock_engine

from include.datasets import land
from include.registry import database, state, tables
from include.serving.app import build
from include.settings import PROJECT, Settings
from include.spec.loader import find_definition
from include.stack.life import first_rows
from include.stack.postgres import Postgres
from include.steps.catalog import load_step
from include.steps.protocol import StepCall

MODEL = "flight_delay"
LAST_DAY = 30
LAST_INGESTED = 26
REFUSED_DAY = 25
ROWS_A_DAY = 90
PLACEHOLDER = "/HOME"
SHORTER = {
    "window: 270d ": "window: 14d ",
    "validation: 14d": "validation: 3d",
    "holdout: 28d": "holdout: 5d",
    "rounds: 300": "rounds: 15",
    "max_missing_partitions: 0": "max_missing_partitions: 2",
    "{metric: roc_auc, at_least: 0.60}": "{metric: roc_auc, at_least: 0.30}",
    "    - {metric: log_loss, against: naive}\n": "",
    "    - {metric: log_loss, against: linear}\n": "",
    "{metric: roc_auc, against: champion}": "{metric: roc_auc, against: champion, margin: -0.5}",
    "drift: {window: 14d": "drift: {window: 7d",
}


def as_of(day: int) -> datetime:
    """The end of that day of January 2013 in New York."""
    return datetime.fromisoformat(f"2013-01-{day + 1:02d}T00:00:00-05:00")


def run(settings: Settings, step: str, day: int, **inputs: Any) -> dict[str, Any]:
    """One step as of the end of a day."""
    definition = find_definition(settings, MODEL)
    attempt = uuid.uuid4().hex[:12]
    call = StepCall(settings=settings, definition=definition, as_of=as_of(day), attempt=attempt, inputs=inputs)
    return load_step(step)(call)


def define(settings: Settings) -> None:
    """The flagship's definition of then with short windows, and its suites for few rows."""
    text = (PROJECT / "include/models" / f"{MODEL}.yaml").read_text()
    for old, new in SHORTER.items():
        assert old in text, old
        text = text.replace(old, new)
    settings.models.mkdir(parents=True)
    (settings.models / f"{MODEL}.yaml").write_text(text)
    shutil.copytree(PROJECT / "expectations" / MODEL, settings.expectations / MODEL)
    for file in (settings.expectations / MODEL).glob("*.json"):
        suite = json.loads(file.read_text())
        for expectation in suite["expectations"]:
            if expectation["type"] == "expect_table_row_count_to_be_between":
                expectation["kwargs"] = {"min_value": 50}
        file.write_text(json.dumps(suite, indent=1))


def land_few(settings: Settings) -> None:
    """Some rows of each day; one day has impossible distances."""
    land(settings, MODEL)
    landing = settings.store / "landing"
    shutil.move(landing, landing.with_name("whole"))
    (landing / "flights").mkdir(parents=True)
    for day in range(1, LAST_DAY + 1):
        name = f"flights/2013-01-{day:02d}.parquet"
        distance = "-distance" if day == REFUSED_DAY else "distance"
        duckdb.execute(
            f"COPY (SELECT * REPLACE ({distance} AS distance) FROM (SELECT * FROM "
            f"read_parquet('{landing.with_name('whole') / name}') "
            f"ORDER BY hash(flight, carrier), scheduled_at, origin LIMIT {ROWS_A_DAY}) "
            f"ORDER BY scheduled_at, carrier, flight, origin) TO '{landing / name}' (FORMAT parquet, COMPRESSION zstd)"
        )
    shutil.rmtree(landing.with_name("whole"))


def ingest(settings: Settings, first: int, last: int) -> None:
    """The data DAG's steps."""
    keys = {"first": f"2013-01-{first:02d}", "last": f"2013-01-{last:02d}", "force": False}
    raw = run(settings, "gate", last, stage="raw", staged=run(settings, "ingest", last, **keys))
    published = run(settings, "publish", last, gate=raw)
    staged = run(settings, "prepare", last, published=published, force=False)
    run(settings, "publish", last, gate=run(settings, "gate", last, stage="features", staged=staged))


def train(settings: Settings, day: int) -> dict[str, Any]:
    """The training DAG's steps, and the deployment."""
    training_set = run(settings, "assemble", day)
    run(settings, "gate", day, stage="training", training_set=training_set)
    training = run(settings, "train", day, training_set=training_set)
    run(settings, "publish", day, gate=run(settings, "gate", day, stage="predictions", training=training))
    evaluation = run(settings, "evaluate", day, training=training)
    decision = run(settings, "decide", day, training=training, evaluation=evaluation)
    assert decision["promote"], decision
    done = run(settings, "register", day, training=training, evaluation=evaluation, decision=decision)
    run(settings, "deploy", day, version=done["version"], actor="ana", reason=f"the best of January {day}")
    return training_set


def answers(settings: Settings, training_set: dict[str, Any]) -> dict[str, Any]:
    """What the server answers to rows of the holdout."""
    rows = first_rows(settings.store / training_set["directory"] / "holdout_inputs.parquet", 40)
    with TestClient(build(settings)) as client:
        until = time.monotonic() + 60
        while not (response := client.post(f"/models/{MODEL}/predict", json={"rows": rows})).is_success:
            assert time.monotonic() < until, response.text
            time.sleep(0.2)
    return {"rows": rows, "answer": response.json()}


def dump(settings: Settings) -> None:
    """Registry and MLflow as SQL."""
    engine = database.create(settings.database_url)
    script: list[str] = []
    mock = create_mock_engine(
        "postgresql://", lambda made, *_: script.append(str(made.compile(dialect=engine.dialect)))
    )
    tables.metadata.create_all(mock, checkfirst=False)
    with engine.connect() as connection:
        cursor = connection.connection.cursor()
        for table in tables.metadata.sorted_tables:
            names = ", ".join(column.name for column in table.columns)
            cursor.execute(f"SELECT {names} FROM {table.name} ORDER BY 1")
            for row in cursor.fetchall():
                values = [Json(value) if isinstance(value, dict) else value for value in row]
                told = cursor.mogrify(", ".join(["%s"] * len(values)), values).decode()
                script.append(f"INSERT INTO {table.name} ({names}) OVERRIDING SYSTEM VALUE VALUES ({told})")
            if "id" in table.columns:
                script.append(f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), 1000)")
    script += tables.APPEND_ONLY
    (settings.home / "registry.sql").write_text(";\n".join(script) + ";\n")
    with sqlite3.connect(settings.home / "mlflow.db") as connection:
        (settings.home / "mlflow.sql").write_text("\n".join(connection.iterdump()) + "\n")
    (settings.home / "mlflow.db").unlink()


def pack(home: Path, archive: Path) -> None:
    """Everything but passing files, without owner and with the machine's paths replaced."""
    shutil.rmtree(home / "store/tmp", ignore_errors=True)
    paths = {str(home): PLACEHOLDER, str(PROJECT): "/PROJECT", sys.argv[0]: Path(__file__).name}
    for file in sorted(path for path in home.rglob("*") if path.is_file()):
        content = file.read_bytes()
        for path, written in paths.items():
            if path.encode() in content and file.suffix != ".parquet":
                content = content.replace(path.encode(), written.encode())
                file.write_bytes(content)
        for path in paths:
            assert path.encode() not in file.read_bytes(), (path, file)

    def anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mtime = 1385000000
        return entry

    with tarfile.open(archive, "w:xz", preset=9) as packed:
        packed.add(home, arcname=".", filter=anonymous)


def main(archive: Path) -> None:
    """Live a small life and pack it."""
    scratch = Path(tempfile.mkdtemp(prefix="noria-first-"))
    home = scratch / "first"
    home.mkdir()
    server = Postgres.for_instance(scratch / "postgres", f"first-{uuid.uuid4().hex[:8]}")
    server.start()
    try:
        server.create_database("noria")
        settings = replace(
            Settings.from_environment({"NORIA_HOME": str(home)}),
            models=home / "models",
            expectations=home / "expectations",
            database_url=server.url("noria"),
            tracking_url=f"sqlite:///{home / 'mlflow.db'}",
        )
        os.chdir(home)
        define(settings)
        land_few(settings)
        ingest(settings, 1, LAST_INGESTED - 2)
        train(settings, 23)
        ingest(settings, LAST_INGESTED - 1, LAST_INGESTED)
        training_set = train(settings, LAST_INGESTED)
        run(settings, "monitor", LAST_INGESTED)
        (home / "answers.json").write_text(json.dumps(answers(settings, training_set)))
        history = [[entry.action, entry.to_version, entry.reason] for entry in state.history(settings, MODEL)]
        (home / "history.json").write_text(json.dumps(history))
        dump(settings)
    finally:
        server.stop()
        server.delete()
    pack(home, archive)
    shutil.rmtree(scratch)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
