"""Challengers in shadow and canary on a real server under traffic: each fault ends in rollback by itself, and says why.

Every case is a model of its own; one server, one database and one MLflow carry them all at once, and nobody but the
server's background process judges them.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from include.registry import stages, state
from include.registry.assessments import newest_assessment
from include.registry.plans import plan_for
from include.serving.http_connection import HttpConnection, encode_request
from include.settings import Settings
from include.stack.postgres import Postgres
from tests.serving.challengers import (
    Package,
    Traffic,
    asking_for,
    doctored,
    log_package,
    make_traffic,
    noisy,
    register,
)
from tests.serving.live import as_process, deploy, until

pytestmark = [pytest.mark.database, pytest.mark.by_turns]

IDENTICAL = [f"same_{number:02}" for number in range(20)]
ROWS = 6000
_LABELS_AT_ONCE = 50
_SECONDS = 330.0
"""How long a group of cases may take; a scorer that runs on idle processors only waits for whatever else runs here."""


@dataclass
class Case:
    """One model's deployment.

    :param labels: whether labels come in.
    :param wanted_labels: how many labels the stages ask for.
    :param share: percent of the requests that the canary answers.
    :param pause: seconds between two requests.
    :param ended: how it ended: ``champion`` or ``rolled back``.
    """

    model: str
    champion: Package
    challenger: Package
    labels: bool = True
    wanted_labels: int = 0
    share: int = 30
    pause: float = 0.1
    ended: str = ""
    statuses: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class World:
    """What the cases left behind."""

    settings: Settings
    cases: dict[str, Case]

    def rolled_back_because(self, model: str) -> str:
        """The ledger's reason for taking version 2 out."""
        case = self.cases[model]
        assert case.ended == "rolled back", f"{model} ended as {case.ended or 'nothing'}"
        champion = state.champion(self.settings, model)
        assert champion is not None
        assert champion.version == 1
        entry = state.history(self.settings, model)[-1]
        assert entry.action == "rollback"
        assert entry.evidence
        return entry.reason


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> World:
    folder = tmp_path_factory.mktemp("challengers")
    postgres.create_database("challengers")
    settings = replace(
        Settings.from_environment({"NORIA_HOME": str(folder / "home")}),
        database_url=postgres.url("challengers"),
        tracking_url=f"sqlite:///{folder}/mlflow.db",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # MLflow keeps a sqlite store's artifacts in the working folder
        traffic, package = make_traffic(folder, ROWS)
        cases = {case.model: case for case in _cases(settings, folder, traffic, package)}
        for case in cases.values():
            deploy(settings, register(settings, case.model, case.champion, days=1), case.model)
            register(settings, case.model, case.challenger, days=2)
        with as_process(settings, folder / "server.log") as (live, _):
            until(lambda: _is_ready(live), 90)
            # A scorer for so many models at once has its hands full: first those with a fault, then the identical ones.
            for group in (cases.keys() - set(IDENTICAL), IDENTICAL):
                asyncio.run(_all(live, [cases[model] for model in group], traffic))
    return World(settings, cases)


def _is_ready(settings: Settings) -> bool:
    try:
        return httpx.get(f"{settings.server_url}/health/ready", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _cases(settings: Settings, folder: Path, traffic: Traffic, package: Path) -> list[Case]:
    def variant(name: str, code: str | None = None) -> Package:
        return log_package(settings, folder / name, package, code)

    good = variant("good")
    worse = variant("worse", noisy(traffic.noise))
    shifted = variant("shifted", doctored(value=f"value + {0.25 * traffic.spread}"))
    failing = 'if any((row["seats"] or 0) % 10 == 3 for row in rows):\n            raise RuntimeError("no such seat")'
    return [
        Case("raises", good, variant("raises", doctored(before=failing))),
        Case("slow", good, variant("slow", doctored(before="time.sleep(0.02)"))),
        Case("worse", good, worse, wanted_labels=4000, pause=0.012),
        Case("shifted", good, shifted, labels=False, pause=0.05),
        Case("better", worse, good, wanted_labels=600, pause=0.03),
        *(Case(model, good, good, share=60, pause=0.15) for model in IDENTICAL),
    ]


async def _all(settings: Settings, cases: list[Case], traffic: Traffic) -> None:
    async with asyncio.TaskGroup() as group:
        for case in cases:
            group.create_task(_follow(settings, case, traffic))


async def _follow(settings: Settings, case: Case, traffic: Traffic) -> None:
    """Traffic for one model until its deployment has ended."""
    sender = asyncio.create_task(_send(settings, case, traffic))
    try:
        await asyncio.wait_for(_deploy(settings, case), _SECONDS)
    except TimeoutError:
        pass
    finally:
        sender.cancel()


async def _deploy(settings: Settings, case: Case) -> None:
    """What the deploy DAG does: one stage after another, each for as long as the server's judgement says."""
    began, definition = datetime.now(UTC), asking_for(case.wanted_labels, share=case.share)
    for stage in definition.deployment.stages[:-1]:
        await asyncio.to_thread(
            stages.enter_stage,
            settings,
            case.model,
            2,
            role=stage.kind,
            share=stage.share / 100,
            plan=plan_for(definition, stage, champion=1, started_at=began),
            until=datetime.now(UTC) + timedelta(seconds=_SECONDS),
            deployment="test",
            actor="ana",
            reason="test",
        )
        while True:
            await asyncio.sleep(1.0)
            if await asyncio.to_thread(stages.challenger, settings, case.model) is None:
                case.ended = "rolled back"
                return
            judged = await asyncio.to_thread(
                newest_assessment, settings, case.model, deployment="test", stage=stage.name
            )
            if judged is not None and judged.verdict == "advance":
                break
    await asyncio.to_thread(
        stages.promote_challenger, settings, case.model, 2, deployment="test", actor="ana", reason="test"
    )
    case.ended = "champion"


async def _send(settings: Settings, case: Case, traffic: Traffic) -> None:
    host, port = settings.server_url.removeprefix("http://").split(":")
    connection = await HttpConnection.open(host, int(port))
    labels: list[dict[str, Any]] = []
    for number, row in enumerate(traffic.rows):
        status = await _post(connection, f"{host}:{port}", f"/models/{case.model}/predict", {"rows": [row]}, number)
        case.statuses[status] = case.statuses.get(status, 0) + 1
        labels.append({"request_id": f"r-{number}", "row": 0, "label": traffic.labels[number]})
        if case.labels and len(labels) == _LABELS_AT_ONCE:
            await _post(connection, f"{host}:{port}", f"/models/{case.model}/feedback", {"labels": labels}, number)
            labels = []
        await asyncio.sleep(case.pause)


async def _post(connection: HttpConnection, host: str, path: str, document: dict[str, Any], number: int) -> int:
    headers = {"Content-Type": "application/json", "X-Request-Id": f"r-{number}"}
    answer = await connection.exchange(encode_request("POST", path, host, json.dumps(document).encode(), headers))
    return answer.status


def test_a_challenger_that_raises_on_some_rows_is_rolled_back(world: World) -> None:
    assert "fail" in world.rolled_back_because("raises")


def test_a_challenger_that_adds_20_milliseconds_is_rolled_back(world: World) -> None:
    assert "ms" in world.rolled_back_because("slow")


def test_a_challenger_whose_auc_is_002_lower_is_rolled_back_when_labels_are_in(world: World) -> None:
    assert "ROC AUC" in world.rolled_back_because("worse")


def test_a_challenger_whose_predictions_moved_is_rolled_back_without_labels(world: World) -> None:
    assert "standard deviation" in world.rolled_back_because("shifted")


def test_a_truly_better_challenger_becomes_champion(world: World) -> None:
    assert world.cases["better"].ended == "champion"


def test_none_of_twenty_identical_challengers_is_rolled_back(world: World) -> None:
    assert {model: world.cases[model].ended for model in IDENTICAL} == dict.fromkeys(IDENTICAL, "champion")


def test_no_caller_noticed_any_of_it(world: World) -> None:
    assert {status for case in world.cases.values() for status in case.statuses} == {200}
