"""Airflow's own api-server over a registry and a metadata database full of models, with a login and teams."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import psutil
import psycopg2
import requests

from include.settings import PROJECT, Settings
from include.spec.families import FAMILIES
from include.stack.instance import is_free
from include.stack.postgres import Postgres
from include.stack.processes import wait_for
from tests.bench.copies import MODEL
from tests.console.seeding import seed

OWNERS: Final = ("airline-ops", "bikes", "weather")
USERS: Final = {"root": "admin", "ana": "user"}
"""The administrator sees every model, ana those of the first owner."""

# One real DAG, its run and its task are copied: so each row has what this release of Airflow wants in it.
_DAG: Final = """
from airflow.sdk import DAG, task

with DAG(dag_id="seed.train", schedule=None) as dag:

    @task
    def work():
        return 1

    work()
"""
_ROWS: Final = (
    """
    INSERT INTO dag SELECT (jsonb_populate_record(d, jsonb_build_object(
        'dag_id', m || '.' || f, 'owners', (%(owners)s)[1 + place %% 3], 'is_paused', false,
        'next_dagrun_create_after', now() + place * interval '1 minute'))).*
    FROM dag AS d,
         unnest(%(models)s) WITH ORDINALITY AS m(m, place), unnest(%(families)s) AS f
    WHERE d.dag_id = 'seed.train'
    """,
    """
    INSERT INTO dag_run SELECT (jsonb_populate_record(r, jsonb_build_object(
        'id', 1000 + place * 100 + n, 'dag_id', m || '.train', 'run_id', 'run' || n, 'logical_date', NULL,
        'run_after', now() - n * interval '1 day',
        'state', CASE WHEN n = 1 AND place %% 50 = 0 THEN 'running' ELSE 'success' END))).*
    FROM dag_run AS r,
         unnest(%(models)s) WITH ORDINALITY AS m(m, place), generate_series(1, %(runs)s) AS n
    WHERE r.dag_id = 'seed.train'
    """,
    """
    INSERT INTO task_instance SELECT (jsonb_populate_record(t, jsonb_build_object(
        'id', gen_random_uuid(), 'dag_id', r.dag_id, 'run_id', r.run_id, 'task_id', 'work' || n,
        'operator', 'StepOperator', 'duration', 7, 'end_date', r.run_after))).*
    FROM task_instance AS t,
         (SELECT dag_id, run_id, run_after FROM dag_run WHERE dag_id <> 'seed.train') AS r, generate_series(1, 3) AS n
    WHERE t.dag_id = 'seed.train'
    """,
    "UPDATE dag SET is_stale = true WHERE dag_id = 'seed.train'",
    "ANALYZE",
)


@dataclass(frozen=True)
class World:
    """A running api-server.

    :param server: its process; workers are its children.
    :param tokens: header of each user.
    """

    url: str
    server: psutil.Process
    postgres: psutil.Process
    tokens: dict[str, dict[str, str]]

    def busy(self) -> tuple[float, float]:
        """Seconds of processor that the server and the database have taken until now."""
        return _busy(self.server), _busy(self.postgres)


@contextmanager
def console_world(folder: Path, models: Sequence[str], *, entries: int, versions: int, checks: int) -> Iterator[World]:
    """Make all of it, and stop and remove it at the end."""
    postgres = Postgres.for_instance(folder, f"bench-{uuid.uuid4().hex[:12]}")
    postgres.start()
    try:
        for name in ("noria", "airflow"):
            postgres.create_database(name)
        settings = replace(
            Settings.from_environment({"NORIA_HOME": str(folder / "home")}), database_url=postgres.url("noria")
        )
        seed(settings, models, versions=versions, entries=entries, checks=checks)
        _write_definitions(folder / "models", models)
        environment = _environment(folder, settings, postgres)
        _fill_airflow(folder, environment, postgres, models)
        with _server(environment) as (url, server):
            tokens = {user: _login(url, folder, user) for user in USERS}
            pid = int((postgres.data / "postmaster.pid").read_text().split()[0])
            yield World(url, server, psutil.Process(pid), tokens)
    finally:
        postgres.stop()
        postgres.delete()


def _busy(process: psutil.Process) -> float:
    """Of the process, its children, and the children that have ended."""
    times = process.cpu_times()
    ended = times.children_user + times.children_system
    running = 0.0
    for child in process.children():
        try:
            running += _busy(child)
        except psutil.NoSuchProcess:
            continue
    return float(times.user + times.system + ended + running)


def _write_definitions(folder: Path, models: Sequence[str]) -> None:
    folder.mkdir()
    text = (PROJECT / "include" / "models" / f"{MODEL}.yaml").read_text()
    for place, name in enumerate(models):
        mine = text.replace(f"model: {MODEL}", f"model: {name}", 1)
        mine = mine.replace("owner: airline-ops", f"owner: {OWNERS[place % len(OWNERS)]}", 1)
        (folder / f"{name}.yaml").write_text(mine)


def _environment(folder: Path, settings: Settings, postgres: Postgres) -> dict[str, str]:
    port = next(port for port in range(18390, 18490) if is_free(port))
    (folder / "dags").mkdir()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "NORIA"))}
    return {
        **inherited,
        "PYTHONPATH": str(PROJECT),
        "PYTHONWARNINGS": "ignore",
        "NORIA_HOME": str(settings.home),
        "NORIA_MODELS": str(folder / "models"),
        "NORIA_DATABASE_URL": settings.database_url,
        "NORIA_TRACKING_URL": "http://127.0.0.1:9",
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__AUTH_MANAGER": "plugins.access.manager.TeamAuthManager",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in USERS.items()),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__NORIA__TEAMS": f"ana:{OWNERS[0]}",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": postgres.url("airflow"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": postgres.url("airflow", driver="postgresql+asyncpg"),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


def _fill_airflow(folder: Path, environment: dict[str, str], postgres: Postgres, models: Sequence[str]) -> None:
    (folder / "dags" / "seed.py").write_text(_DAG)
    program = (
        "import os, pathlib\n"
        "from airflow.utils.db import initdb\n"
        "from tests.plugins.team_program import run_dags\n"
        "initdb()\n"
        "run_dags(pathlib.Path(os.environ['AIRFLOW__CORE__DAGS_FOLDER']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=PROJECT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"Airflow's database was not made:\n{done.stderr[-3000:]}")
    values = {"models": list(models), "families": list(FAMILIES), "owners": list(OWNERS), "runs": 20}
    with psycopg2.connect(host=str(postgres.socket), user="postgres", dbname="airflow") as connection:
        for statement in _ROWS:
            connection.cursor().execute(statement, values)
    connection.close()
    shutil.rmtree(folder / "dags")
    (folder / "dags").mkdir()


@contextmanager
def _server(environment: dict[str, str]) -> Iterator[tuple[str, psutil.Process]]:
    url = f"http://127.0.0.1:{environment['AIRFLOW__API__PORT']}"
    log = Path(environment["AIRFLOW_HOME"]) / "api-server.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "airflow", "api-server", "--apps", "core"],
            env=environment, cwd=PROJECT, stdout=file, stderr=file,
        )  # fmt: skip
    try:
        if not wait_for(lambda: _answers(f"{url}/api/v2/version"), 120):
            raise SystemExit(f"The api-server did not start:\n{log.read_text()[-3000:]}")
        yield url, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def _answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=5).ok
    except requests.RequestException:
        return False


def _login(url: str, folder: Path, user: str) -> dict[str, str]:
    passwords = json.loads((folder / "airflow" / "simple_auth_manager_passwords.json.generated").read_text())
    answer = requests.post(f"{url}/auth/token", json={"username": user, "password": passwords[user]}, timeout=60)
    answer.raise_for_status()
    return {"Authorization": f"Bearer {answer.json()['access_token']}", "Accept-Encoding": "gzip"}
