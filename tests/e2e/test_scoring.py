"""Batch scoring through Airflow: days of the raw table and delivered files, with the champion, once and again."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from include.lake.connections import open_duckdb
from include.lake.table import LakeTable
from tests.e2e.line import Document, Line
from tests.e2e.models import shorten
from tests.e2e.staged import register_variant

pytestmark = [pytest.mark.e2e, pytest.mark.by_turns]

FIRST, LAST = "2013-12-28", "2013-12-29"


def score(line: Line, model: str, name: str, **conf: object) -> tuple[str, Document]:
    """State of a run of ``<model>.score``, and the output of its last task (empty if that failed)."""
    line.trigger(f"{model}.score", name, conf)
    state = line.finish(f"{model}.score", name)
    return state, line.api.output(f"{model}.score", name, "score") if state == "success" else {}


@pytest.fixture
def scored(line: Line, small: str, tmp_path: Path) -> str:
    """A model of this test's own with two days of data, whose champion is the small model's first version."""
    model = "flights_scored"
    line.define(model, "flight_delay", shorten)
    line.wait_for_dag(f"{model}.score")
    version = register_variant(line, model, tmp_path, of=small, version=1, days=0)
    line.trigger(f"{model}.data", "days", {"first": FIRST, "last": LAST})
    line.trigger(f"{model}.deploy", "first", {"version": version, "reason": "to score with"})
    assert [line.finish(f"{model}.{family}", run) for family, run in (("data", "days"), ("deploy", "first"))] == [
        "success",
        "success",
    ]
    return model


def test_the_champion_scores_days_and_files_and_a_bad_file_stops_only_itself(line: Line, scored: str) -> None:
    done = [score(line, scored, name, first=FIRST, last=LAST) for name in ("days", "days-again")]
    assert [state for state, _ in done] == ["success", "success"]
    assert [(output["partitions"], output["changed"]) for _, output in done] == [(2, 2), (2, 0)]
    assert done[0][1]["digest"] == done[1][1]["digest"]

    folder = line.settings.store / "landing" / "asked"
    folder.mkdir(parents=True)
    flights = pd.read_parquet(line.settings.store / "landing" / "flights" / f"{LAST}.parquet")
    flights.drop(columns=["arr_delay"]).head(40).to_parquet(folder / "good.parquet")
    flights.assign(distance=-1.0).head(40).to_parquet(folder / "bad.parquet")
    state, _ = score(line, scored, "files", path="landing/asked/*.parquet")
    assert state == "failed"
    assert line.tasks(f"{scored}.score", "files")["score"].attempt == 1, "what a gate refuses is not tried again"

    with open_duckdb(line.settings) as connection:
        LakeTable(line.settings, scored, "scores").scan(connection, "scores")
        found = connection.execute("SELECT data_source, count(*), min(model_version) FROM scores GROUP BY 1").fetchall()
    [(_, rows, version)] = [row for row in found if row[0] == "raw"]
    assert rows == done[0][1]["rows"] > 1000
    assert {source: count for source, count, _ in found if source != "raw"} == {"landing/asked/good.parquet": 40}
    assert version == done[0][1]["model_version"]
