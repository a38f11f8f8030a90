"""A model on its way out of production answers with the headers that say so, and its servers tell who still asks."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest

from include.registry import retirement
from include.serving.drain_watch import DrainWatch
from include.serving.request_log.compaction import Compactor
from include.settings import Settings
from include.steps.draining import look_at_drain
from tests.serving.live import GOOD_ROW, Logged, as_process, deploy, in_thread, predict, register, serving, until
from tests.serving.log_world import answer, open_log, shape, without_suites

pytestmark = pytest.mark.database
WHO = {"actor": "ana", "reason": "replaced by another model"}
HEADERS = ("deprecation", "sunset")


def is_up(client: httpx.Client) -> bool:
    try:
        return client.get("/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def asked(client: httpx.Client) -> list[httpx.Response]:
    """An answer of each kind that is about the model."""
    tensors = [{"name": "n", "shape": [1], "datatype": "INT64", "data": [3]}]
    return [
        predict(client),
        client.post("/models/m/explain", json={"rows": [GOOD_ROW]}),
        client.post("/models/m/invocations", json={"dataframe_records": [GOOD_ROW]}),
        client.post("/models/m/feedback", json={"labels": [{"request_id": "r", "row": 0, "label": 1}]}),
        client.get("/models/m"),
        client.get("/v2/models/m"),
        client.post("/v2/models/m/infer", json={"inputs": tensors}),
    ]


def test_every_answer_of_a_retiring_model_says_since_when_and_until_when(
    tracked: Settings, logged_models: list[Logged]
) -> None:
    version = register(tracked, logged_models[0])
    deploy(tracked, version)
    with in_thread(tracked) as client:
        until(lambda: serving(client, version))
        assert not [header for one in asked(client) for header in HEADERS if header in one.headers]
        began = retirement.begin(tracked, "m", drain=timedelta(hours=2), **WHO).under_way
        until(lambda: client.get("/models/m").json()["retiring_until"] == began.until.isoformat())
        for one in asked(client):
            assert one.status_code in {200, 422}, one.text
            assert one.headers["Deprecation"] == f"@{int(began.began_at.timestamp())}"
            assert parsedate_to_datetime(one.headers["Sunset"]) == began.until.replace(microsecond=0)
            assert one.headers["Sunset"].endswith("GMT")
        assert client.get("/health/ready").json()["models"] == {"m": "serving"}
        retirement.restore(tracked, "m", actor="bob", reason="needed after all")
        until(lambda: "Sunset" not in predict(client).headers)
        began = retirement.begin(tracked, "m", **WHO).under_way
        retirement.retire(tracked, "m", began=began.began_at, **WHO)
        until(lambda: predict(client).status_code == 410)


def test_a_server_that_starts_without_its_database_still_says_it(
    tracked: Settings, logged_models: list[Logged]
) -> None:
    version = register(tracked, logged_models[0])
    deploy(tracked, version)
    retirement.begin(tracked, "m", **WHO)
    with in_thread(tracked) as client:
        until(lambda: "Sunset" in predict(client).headers)
    nowhere = replace(tracked, database_url="postgresql://127.0.0.1:9/noria", tracking_url="http://127.0.0.1:9")
    with in_thread(nowhere) as client:
        until(lambda: predict(client).status_code == 200)
        assert "Sunset" in predict(client).headers


def test_the_watch_tells_the_newest_request_of_a_caller_and_of_nobody_else(stored_settings: Settings) -> None:
    here = without_suites(stored_settings)
    now = datetime.now(UTC).replace(microsecond=0)

    def log(name: str, ago: float, **changes: object) -> None:
        answer(open_log(here), name, at_us=int((now.timestamp() - ago) * 1e6), **changes)

    def said(watch: DrainWatch, compactor: Compactor) -> str | None:
        compactor.run()
        watch.report(["m"], compactor, now)
        found = retirement.read_retirement(here, "m")
        assert found is not None
        ((_, sighting),) = found.sightings.items()
        assert sighting["seen_until"] == now.isoformat()
        return sighting["last_request_at"]  # type: ignore[no-any-return]

    retirement.begin(here, "m", **WHO)
    watch, compactor = DrainWatch(here), Compactor(here)
    log("other", 1, of=shape(model="other"))
    log("named", 1, asked=True)
    assert said(watch, compactor) is None
    log("first", 90)
    assert said(watch, compactor) == (now - timedelta(seconds=90)).isoformat()
    log("second", 40)
    log("late in the log", 70)
    assert said(watch, compactor) == (now - timedelta(seconds=40)).isoformat()
    log("failed", 30)
    assert said(DrainWatch(here), Compactor(here)) == (now - timedelta(seconds=30)).isoformat(), "after a restart"
    assert said(DrainWatch(here), Compactor(here)) == (now - timedelta(seconds=30)).isoformat(), "from the table"


def test_nothing_is_said_of_a_model_whose_log_cannot_be_read_to_its_end(stored_settings: Settings) -> None:
    here = without_suites(stored_settings)
    retirement.begin(here, "m", **WHO)
    compactor = Compactor(here)
    compactor.done.problems["m"] = "the disk is full"
    DrainWatch(here).report(["m"], compactor, datetime.now(UTC))
    found = retirement.read_retirement(here, "m")
    assert found is not None
    assert found.sightings == {}


@pytest.mark.by_turns
def test_a_running_server_lets_a_model_go_that_nobody_asks_and_keeps_one_that_is_asked(
    tracked: Settings, logged_models: list[Logged], tmp_path: Path
) -> None:
    here = without_suites(tracked)
    version = register(here, logged_models[0])
    deploy(here, version)
    with (
        as_process(here, tmp_path / "server.log") as (served, _),
        httpx.Client(base_url=served.server_url, trust_env=False, timeout=30) as client,
    ):
        until(lambda: is_up(client) and serving(client, version), 60)
        predict(client)
        began = retirement.begin(here, "m", quiet=timedelta(seconds=12), **WHO).under_way
        asking = time.monotonic() + 18
        while time.monotonic() < asking:
            assert predict(client).status_code == 200
            assert look_at_drain(here, "m", began.began_at).state == "waiting"
            time.sleep(1)
        last = datetime.now(UTC)
        until(lambda: look_at_drain(here, "m", began.began_at).state == "quiet", 60)
        assert datetime.now(UTC) - last >= timedelta(seconds=11)
