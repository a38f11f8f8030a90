"""Columns of the past that a request does not bring: looked up, equal to those of training, without any database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from include.features.history import history_digest
from include.features.replica import publish_replicas
from include.features.replica_format import POINTER
from include.lake.paths import history_folder
from include.lake.table import LakeTable
from include.settings import Settings
from include.spec.histories import histories
from tests.features.past_lake import DAYS, publish_days, publish_features, reading
from tests.lake.factories import land, make_rows, publish_raw
from tests.serving.engine import OFFERED, challenge, enter, held, save_model
from tests.serving.live import FAST, FEATURES, Logged, deploy, in_thread, predict, serving, until

pytestmark = pytest.mark.database
LIMITS = replace(FAST, history_seconds=0.05)
NAMES = ["recent_late_rate", "recent_orders"]


def offered() -> dict[str, Any]:
    """A model whose feature ``x`` is a rate of the past, and ``tenfold`` a count of it."""
    [history] = histories(reading())
    return {
        **OFFERED,
        "columns": {
            "place": "string", "dry": "boolean", "seen_at": "timestamp",
            "recent_late_rate": "number", "recent_orders": "integer",
        },
        "features": [
            {**feature, "expression": {"tenfold": "recent_orders", "x": "recent_late_rate"}.get(feature["name"])}
            for feature in FEATURES
        ],
        "select": OFFERED["select"].replace("n * 10 AS", "recent_orders AS").replace(
            "x AS feature_x", "recent_late_rate AS feature_x"
        ),
        "history": [
            {
                "model": "orders",
                "group": "recent",
                "digest": history_digest(history),
                "event_time": "seen_at",
                "keys": {"place": "string"},
                "columns": {"recent_late_rate": "number", "recent_orders": "integer"},
            }
        ],
    }  # fmt: skip


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> list[Logged]:
    return [
        save_model(tmp_path_factory.mktemp("saved"), 1, offered()),
        save_model(tmp_path_factory.mktemp("saved"), 2),
    ]


@pytest.fixture
def lake(stored_settings: Settings, saved: list[Logged]) -> Settings:
    """Six days of orders with features, and the model as champion; nothing for servers to look up yet."""
    publish_days(stored_settings, reading(), DAYS)
    publish_features(stored_settings, reading(), DAYS, "f-1")
    enter(stored_settings, saved[0])
    deploy(stored_settings, 1)
    return stored_settings


@pytest.fixture
def client(lake: Settings) -> Iterator[httpx.Client]:
    publish_replicas(lake, reading())
    with in_thread(lake, LIMITS) as client:
        until(lambda: serving(client, 1))
        yield client


def row(place: str | None, at: str, **more: Any) -> dict[str, Any]:
    return {"place": place, "dry": True, "seen_at": at, **more}


def offline(settings: Settings) -> list[dict[str, Any]]:
    """Requests that bring what training had, one for each shop and day."""
    table = LakeTable(settings, "orders", "features").dataset().to_table().to_pylist()
    found = {(one["shop"], one["partition"]): {name: one[name] for name in NAMES} for one in table}
    return [row(shop, f"{day}T13:30:00", **values) for (shop, day), values in sorted(found.items())]


def without(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in one.items() if name not in NAMES} for one in rows]


def predictions(answer: httpx.Response) -> list[float]:
    assert answer.status_code == 200, answer.text
    found: list[float] = answer.json()["predictions"]
    return found


def test_the_server_fills_in_what_training_had_at_the_same_instant(client: httpx.Client, lake: Settings) -> None:
    rows = offline(lake)
    assert len({json.dumps([one[name] for name in NAMES]) for one in rows}) > 3
    brought = predictions(predict(client, *rows))
    assert predictions(predict(client, *without(rows))) == brought
    assert [predictions(predict(client, one))[0] for one in without(rows)] == brought


def test_columns_are_filled_like_rows(client: httpx.Client, lake: Settings) -> None:
    rows = offline(lake) * 5  # too many to be taken apart
    kinds = {"place": "BYTES", "dry": "BOOL", "seen_at": "BYTES"}
    tensors = [
        {"name": name, "datatype": kind, "shape": [len(rows)], "data": [one[name] for one in rows]}
        for name, kind in kinds.items()
    ]
    answer = client.post("/v2/models/m/infer", json={"inputs": tensors})
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"][0]["data"] == predictions(predict(client, *rows))


def test_a_row_keeps_what_it_brings(client: httpx.Client) -> None:
    one = row("North", f"{DAYS[3]}T01:00:00")
    all_late = {**one, "recent_late_rate": 1.0}
    answer = predict(client, all_late)
    assert predictions(answer) == predictions(predict(client, {**all_late, "recent_orders": 4}))
    assert answer.headers["X-Noria-History"] == f"recent={DAYS[3]}"
    assert "X-Noria-History" not in predict(client, {**all_late, "recent_orders": 4}).headers


@pytest.mark.parametrize("place", ["Nowhere", None])
def test_a_key_without_a_past_has_no_rows_and_nothing_else(client: httpx.Client, place: str | None) -> None:
    one = row(place, f"{DAYS[3]}T01:00:00")
    assert predictions(predict(client, one)) == predictions(
        predict(client, {**one, "recent_late_rate": None, "recent_orders": 0})
    )


def test_a_late_copy_answers_with_what_it_has_and_says_so(client: httpx.Client) -> None:
    newest = predict(client, row("North", "2024-01-08T23:00:00"))
    assert newest.headers["X-Noria-History"] == "recent=2024-01-08"
    late = predict(client, row("North", "2024-02-01T23:00:00"))
    assert late.headers["X-Noria-History"] == "recent=2024-01-08;late"
    assert predictions(late) == predictions(newest)
    assert predict(client, row("North", "2023-06-01T00:00:00")).headers["X-Noria-History"].endswith(";early")
    page = client.get("/metrics").text
    [age] = [line for line in page.splitlines() if line.startswith("noria_history_age_seconds{")]
    assert float(age.split()[-1]) > 86_400
    assert 'noria_history_rows_total{group="recent",model="orders",partition="late"}' in page


def test_without_a_copy_a_row_must_bring_its_columns(lake: Settings) -> None:
    with in_thread(lake, LIMITS) as client:
        until(lambda: serving(client, 1))
        answer = predict(client, row("North", f"{DAYS[3]}T01:00:00"))
        assert answer.status_code == 503
        assert answer.json()["field"] == "recent_late_rate"
        assert "run orders.data" in answer.json()["error"]
        assert predictions(predict(client, *offline(lake)))
        publish_replicas(lake, reading())
        until(lambda: predict(client, row("North", f"{DAYS[3]}T01:00:00")).status_code == 200)


def test_newer_values_are_taken_up_and_a_damaged_pointer_leaves_the_old_ones(
    client: httpx.Client, lake: Settings
) -> None:
    one = row("North", f"{DAYS[5]}T01:00:00")
    before = predictions(predict(client, one))
    [history] = histories(reading())
    pointer = history_folder(lake, "orders", "recent", history_digest(history)) / POINTER
    kept = pointer.read_text()
    pointer.write_text(kept[: len(kept) // 2])
    assert predictions(predict(client, one)) == before
    land(lake, DAYS[3], make_rows(DAYS[3], 17))
    publish_raw(lake, reading(), [DAYS[3]], attempt="r-2")
    publish_replicas(lake, reading())
    until(lambda: predictions(predict(client, one)) != before)
    publish_features(lake, reading(), [], "f-2")
    [brought] = [same for same in offline(lake) if same["place"] == "North" and same["seen_at"].startswith(DAYS[5])]
    assert predictions(predict(client, one)) == predictions(predict(client, {**brought, "seen_at": one["seen_at"]}))


def test_it_works_while_database_and_mlflow_are_down(client: httpx.Client, lake: Settings) -> None:
    rows = offline(lake)
    expected = predictions(predict(client, *rows))
    nowhere = replace(lake, database_url="postgresql://127.0.0.1:9/noria", tracking_url="http://127.0.0.1:9")
    until(lambda: (lake.home / "serving" / "state.json").is_file() or any((lake.home / "serving").glob("*.json")))
    with in_thread(nowhere, LIMITS) as alone:
        until(lambda: serving(alone, 1))
        assert alone.get("/models").json()["database_error"]
        assert predictions(predict(alone, *without(rows))) == expected


def test_a_challenger_that_reads_the_past_is_asked_as_if_callers_sent_it(
    stored_settings: Settings, saved: list[Logged], tmp_path: Path
) -> None:
    publish_days(stored_settings, reading(), DAYS)
    for one in reversed(saved):
        enter(stored_settings, one)
    deploy(stored_settings, 1)
    challenge(stored_settings, 2, share=1.0)
    asked = row("North", f"{DAYS[3]}T01:00:00", n=1, x=0.5)
    with in_thread(stored_settings, LIMITS) as client:
        until(lambda: held(client) == {"champion": (1, "serving"), "canary": (2, "serving")})
        assert predict(client, asked).headers["X-Noria-Version"] == "1"  # nothing to look up yet
        publish_replicas(stored_settings, reading())
        until(lambda: predict(client, asked).headers["X-Noria-Version"] == "2")


def test_an_explanation_fills_in_the_same(client: httpx.Client, lake: Settings) -> None:
    rows = offline(lake)
    brought, filled = (
        client.post("/models/m/explain", json={"rows": asked}).json()["contributions"]
        for asked in (rows, without(rows))
    )
    assert brought == filled
