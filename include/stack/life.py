"""One model's whole life through the DAGs of a running Airflow, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import requests

from include.datasets import land
from include.errors import NoriaError
from include.lake.store import store_of
from include.registry.state import champion
from include.settings import PROJECT, Settings
from include.spec.definition import Definition
from include.spec.families import FAMILIES
from include.spec.loader import find_definition
from include.stack.airflow_api import AirflowApi, DagBroken
from include.stack.course import Course, plan_course
from include.stack.environment import Stack
from include.stack.follow import FollowedRun, Follower
from include.stack.processes import wait_for
from include.stack.traffic import replaying

_PARSE_SECONDS = 120.0


class NotServed(NoriaError):
    """At the end the inference server does not answer for the model."""

    def __init__(self, model: str, why: str) -> None:
        self.model = model
        super().__init__(f"{model} is not being served: {why}")


@dataclass
class Life:
    """What happened, stage by stage."""

    model: str
    as_of: datetime
    landed: str
    seconds: dict[str, float] = field(default_factory=dict)
    runs: dict[str, FollowedRun] = field(default_factory=dict)
    served: dict[str, Any] = field(default_factory=dict)

    def output(self, family: str, task: str) -> dict[str, Any]:
        """What a step returned, or an empty document if it did not run."""
        run = self.runs.get(family)
        value = run.outputs.get(task) if run else None
        return value if isinstance(value, dict) else {}


def live(stack: Stack, model: str, requested_as_of: str | None, say: Callable[[str], None]) -> Life:
    """Land the data and take the model through data, train, deploy and monitor.

    A model whose deployment has stages begins with an earlier champion, so that the later one has somebody to beat;
    while it is deployed, the days after its as_of are the server's traffic.

    :raises NoriaError: at the first thing that fails; nothing is served that was not before.
    """
    definition = find_definition(stack.settings, model)
    course = plan_course(definition, requested_as_of)
    life = Life(model=model, as_of=course.as_of, landed=_land(stack.settings, model, say))
    ensure_dag_file(stack.settings, model, say)
    api = AirflowApi(stack.airflow_url)
    _wait_for_dags(api, model)
    follower = Follower(api)
    _turn(life, follower, "data", _range(course))
    if course.earlier_as_of is not None and champion(stack.settings, model) is None:
        say(f"\n{model} begins with a champion as of {course.earlier_as_of:%Y-%m-%d}, which a later one has to beat")
        _train(life, follower, api, course.earlier_as_of, nullcontext(), "first ")
    staged = course.earlier_as_of is not None and champion(stack.settings, model) is not None
    traffic = replaying(stack, model, course.as_of, say) if staged else nullcontext()
    _train(life, follower, api, course.as_of, traffic)
    life.served = _ask(stack, definition, life)
    _turn(life, follower, "monitor", {"as_of": course.as_of.isoformat()})
    return life


def _range(course: Course) -> dict[str, object]:
    """What the data DAG is asked for."""
    keys = {"first": course.first, "last": course.last} if course.first else {}
    return {"as_of": course.data_as_of.isoformat(), **keys}


def _train(
    life: Life,
    follower: Follower,
    api: AirflowApi,
    as_of: datetime,
    traffic: AbstractContextManager[None],
    which: str = "",
) -> None:
    """Train as of an instant, and follow the deployment that it starts, under traffic."""
    _turn(life, follower, "train", {"as_of": as_of.isoformat()}, which)
    if life.output(f"{which}train", "decide").get("promote"):
        with traffic:
            _follow_deployment(life, api, follower, which)


def ensure_dag_file(settings: Settings, model: str, say: Callable[[str], None]) -> None:
    """Every model has the same small DAG file; write a missing one."""
    target = settings.dags / f"{model}.py"
    if not target.exists():
        target.write_text((PROJECT / "dags" / "flight_delay.py").read_text())
        say(f"Wrote {target}, the DAG file of {model}")


def _land(settings: Settings, model: str, say: Callable[[str], None]) -> str:
    landing = land(settings, model)
    if landing is None:
        return "read from the definition's own source"
    say(f"Landed {landing}")
    return str(landing)


def _wait_for_dags(api: AirflowApi, model: str) -> None:
    """Wait until Airflow has parsed the model's DAGs.

    :raises DagBroken: with the import errors, if it does not.
    """
    errors: dict[str, str] = {}

    def parsed(dag_id: str) -> bool:
        nonlocal errors
        if api.has_dag(dag_id):
            return True
        errors = api.import_errors()  # kept: they may be gone when somebody asks again
        return any(Path(file).stem == model for file in errors)

    for family in FAMILIES:
        dag_id = f"{model}.{family}"
        if not wait_for(partial(parsed, dag_id), _PARSE_SECONDS) or not api.has_dag(dag_id):
            raise DagBroken(dag_id, errors)


def _turn(life: Life, follower: Follower, family: str, conf: dict[str, object], which: str = "") -> None:
    begin = time.monotonic()
    life.runs[which + family] = follower.run(f"{life.model}.{family}", conf)
    life.seconds[which + family] = time.monotonic() - begin


def _follow_deployment(life: Life, api: AirflowApi, follower: Follower, which: str) -> None:
    """Follow the deployment that training started."""
    version = life.output(f"{which}train", "register").get("version")
    dag_id = f"{life.model}.deploy"
    begin = time.monotonic()
    found: list[str] = []

    def started() -> bool:
        found[:] = [run["dag_run_id"] for run in api.runs(dag_id) if run["conf"].get("version") == version]
        return bool(found)

    if not wait_for(started, 60):
        raise NotServed(
            life.model, f"training decided to promote version {version}, but no run of {dag_id} was started"
        )
    life.runs[f"{which}deploy"] = follower.follow(dag_id, found[0])
    life.seconds[f"{which}deploy"] = time.monotonic() - begin


def _ask(stack: Stack, definition: Definition, life: Life) -> dict[str, Any]:
    """Ask the live server for a prediction for a real row of the holdout."""
    address = f"{stack.settings.server_url}/models/{definition.model}/predict"
    row = _holdout_row(stack.settings, life)
    token = stack.settings.server_token
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer: dict[str, Any] = {}

    def served() -> bool:
        try:
            response = requests.post(address, json={"rows": [row]}, headers=headers, timeout=10)
        except requests.RequestException as error:
            answer["why"] = str(error)
            return False
        answer.clear()
        answer.update(response.json() if response.ok else {"why": f"{response.status_code} {response.text[:300]}"})
        return response.ok

    if not wait_for(served, 20):
        decision = life.output("train", "decide")
        raise NotServed(
            definition.model,
            f"the decision was to {decision.get('verdict')}: {decision.get('reason')} {address} said: {answer['why']}",
        )
    return answer


def _holdout_row(settings: Settings, life: Life) -> dict[str, Any]:
    directory = life.output("train", "assemble").get("directory")
    if directory is None:
        raise NotServed(life.model, "training assembled no training set to take a row from")
    file = settings.store / directory / "holdout_inputs.parquet"
    store_of(settings).fetch(file)
    rows = first_rows(file, 1)
    if not rows:
        raise NotServed(life.model, f"{file} holds no row")
    return rows[0]


def first_rows(file: Path, count: int) -> list[dict[str, Any]]:
    """The first rows of a Parquet file, as a request carries them (timestamps in ISO 8601)."""
    import duckdb

    with duckdb.connect() as connection:
        cursor = connection.execute("SELECT * FROM read_parquet(?) LIMIT ?", [str(file), count])
        names, values = [column[0] for column in cursor.description or []], cursor.fetchall()
    return [
        {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in zip(names, row, strict=True)
        }
        for row in values
    ]
