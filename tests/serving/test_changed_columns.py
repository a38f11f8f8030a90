"""A challenger that reads other columns than the champion: callers change what they send in their own time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from include.serving.protocols.calls import Call
from include.settings import Settings
from tests.serving.engine import OFFERED, challenge, enter, errors_of, held, save_model
from tests.serving.live import FEATURES, GOOD_ROW, Logged, as_process, deploy, in_thread, predict, serving, until
from tests.serving.log_world import logged

pytestmark = pytest.mark.database

# Instead of ``dry`` it reads ``wind``.
OTHER_COLUMNS = {name: kind for name, kind in OFFERED["columns"].items() if name != "dry"} | {"wind": "number"}
OTHER: dict[str, Any] = {
    **OFFERED,
    "columns": OTHER_COLUMNS,
    "features": [
        {**feature, "name": "wind", "type": "numeric", "expression": "wind"} if feature["name"] == "dry" else feature
        for feature in FEATURES
    ],
    "select": OFFERED["select"].replace("dry AS feature_dry", "wind AS feature_wind"),
}
OLD = {**GOOD_ROW, "order": 1}
BOTH = {**OLD, "wind": 3.5}
NEW = {name: value for name, value in BOTH.items() if name != "dry"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> list[Logged]:
    return [
        save_model(tmp_path_factory.mktemp("saved"), 1),
        save_model(tmp_path_factory.mktemp("saved"), 2, OTHER),
    ]


@pytest.fixture
def canary(stored_settings: Settings, saved: list[Logged]) -> Iterator[httpx.Client]:
    """The version with the other columns answers everybody, if it can."""
    for one in saved:
        enter(stored_settings, one)
    deploy(stored_settings, 1)
    challenge(stored_settings, 2, share=1.0)
    with in_thread(stored_settings) as client:
        until(lambda: held(client) == {"champion": (1, "serving"), "canary": (2, "serving")})
        yield client


def answered_by(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return answer.headers["X-Noria-Version"]


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_callers_that_send_the_new_column_too_reach_the_challenger_and_others_the_champion(
    canary: httpx.Client, rows: int
) -> None:
    before = errors_of(canary, 2)
    assert answered_by(predict(canary, *[OLD] * rows)) == "1"
    assert answered_by(predict(canary, *[BOTH] * rows)) == "2"
    assert answered_by(predict(canary, *[NEW] * rows)) == "2"
    assert errors_of(canary, 2) == before


@pytest.mark.parametrize("rows", [1, 100])
def test_tensors_of_either_versions_columns_are_read(canary: httpx.Client, rows: int) -> None:
    kinds = {"n": "INT64", "x": "FP64", "place": "BYTES", "dry": "BOOL", "seen_at": "BYTES", "wind": "FP64"}

    def ask(row: dict[str, Any]) -> httpx.Response:
        tensors = [
            {"name": name, "datatype": kind, "shape": [rows], "data": [row[name]] * rows}
            for name, kind in kinds.items()
            if name in row
        ]
        return canary.post("/v2/models/m/infer", json={"inputs": tensors})

    assert [answered_by(ask(row)) for row in (OLD, BOTH, NEW)] == ["1", "2", "2"]


def test_what_no_version_knows_is_refused_by_name(canary: httpx.Client) -> None:
    for row in (OLD, BOTH):
        answer = predict(canary, {**row, "winds": 1.0})
        assert (answer.status_code, answer.json()["field"]) == (422, "winds")


def test_after_the_promotion_callers_may_still_send_what_only_the_previous_version_reads(
    canary: httpx.Client, stored_settings: Settings
) -> None:
    deploy(stored_settings, 2)
    until(lambda: serving(canary, 2) and held(canary)["previous"] == (1, "serving"))
    assert answered_by(predict(canary, BOTH)) == "2"
    refused = predict(canary, OLD)
    assert (refused.status_code, refused.json()["field"]) == (422, "wind")


def test_a_request_without_the_new_column_is_no_evidence_and_with_it_both_versions_score(
    stored_settings: Settings, saved: list[Logged], tmp_path: Path
) -> None:
    for one in saved:
        enter(stored_settings, one)
    deploy(stored_settings, 1)
    challenge(stored_settings, 2, role="shadow", share=0.0)
    with as_process(stored_settings, tmp_path / "server.log") as (live, _), httpx.Client(
        base_url=live.server_url, trust_env=False
    ) as client:  # fmt: skip
        until(lambda: _is_shadowed(client), 90)

        def scores() -> set[str]:
            """Send both kinds; ids of what the challenger has scored, as far as the log is compacted."""
            client.post("/models/m/predict", json={"rows": [OLD]}, headers={"X-Request-Id": "old"})
            answer = client.post("/models/m/predict", json={"rows": [BOTH]}, headers={"X-Request-Id": "both"})
            assert answered_by(answer) == "1"
            return {row["request_id"] for row in logged(live, "request_id, version") if row["version"] == 2}

        until(lambda: bool(scores()), 60)
        until(lambda: 'noria_shadow_skipped_total{model="m"}' in client.get("/metrics").text, 10)
    scored = [row for row in logged(live, "request_id, version, error") if row["version"] == 2]
    assert {(row["request_id"], row["error"]) for row in scored} == {("both", None)}


def _is_shadowed(client: httpx.Client) -> bool:
    try:
        return held(client) == {"champion": (1, "serving"), "shadow": (2, "serving")}
    except httpx.HTTPError:
        return False


def test_a_call_tells_and_leaves_out_fields_in_both_forms() -> None:
    rows = Call(2, rows=[{"a": 1, "b": 2}, {"a": 3}])
    columns = Call(2, columns={"a": np.array([1, 3]), "b": [2, None]})
    assert [call.has({"a"}) for call in (rows, columns)] == [True, True]
    assert [call.has({"a", "b"}) for call in (rows, columns)] == [False, True]
    assert rows.without({"b"}).rows == [{"a": 1}, {"a": 3}]
    assert (columns.without({"b"}).columns or {}).keys() == {"a"}
