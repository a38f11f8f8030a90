"""Batch scoring of partitions: what is published, which version answers, what a rerun changes, what a kill leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from include.errors import NothingToDo, TryAgain
from include.registry import versions
from include.registry.signing import SignatureMissing, SignatureWrong
from include.serving.scoring import rows as scoring_rows
from include.serving.scoring.packaged import VersionAway, VersionBroken
from include.serving.scoring.version import NobodyToScore, VersionNotUsable
from include.settings import PROJECT, Settings
from include.steps import choose, score
from include.steps.choose import VersionMalformed
from tests.signing import signing, tamper
from tests.steps.scoring_world import (
    AS_OF,
    COLUMNS,
    DAYS,
    MODEL,
    World,
    crowned,
    expectation,
    lake,
    scoring_models,
    scoring_tracking,
    write_suite,
)
from tests.training.factories import make_rows
from tests.training.lake import ingest, land

__all__ = ["crowned", "lake", "scoring_models", "scoring_tracking"]
pytestmark = pytest.mark.database


# ---- what is published ----------------------------------------------------------------------------------------------


def test_the_champions_answers_for_a_range_are_published_in_one_commit(crowned: World) -> None:
    output = crowned.score()
    expected = {"table": "scores", "version": 1, "partitions": 3, "rows": 600, "changed": 3, "unchanged": 0}
    assert {name: output[name] for name in expected} == expected
    assert output["model_version"] == crowned.champion
    for day in DAYS:
        found, raw = crowned.rows(day), crowned.raw(day)
        assert found["prediction"].tolist() == crowned.logged[0].packaged.predict_frame(raw).tolist()
        assert found["number"].tolist() == raw["number"].tolist()
        assert found["left_at"].tolist() == raw["left_at"].tolist()
        assert found["_row"].tolist() == list(range(len(raw)))
    everything = crowned.rows()
    assert set(everything) == {*COLUMNS, "_row", "partition", "_digest", "_inputs"}
    assert set(everything["model_version"]) == {crowned.champion}
    assert set(everything["data_source"]) == {"raw"}
    assert set(everything["as_of"]) == {pd.Timestamp(AS_OF)}


def test_without_a_range_the_last_complete_partition_is_scored(crowned: World) -> None:
    output = score.run(crowned.call(as_of=AS_OF - timedelta(hours=30)))
    assert (output["partitions"], list(crowned.table.partitions())) == (1, ["2013-01-01"])


def test_scoring_again_changes_nothing_and_needs_no_mlflow(crowned: World) -> None:
    first = crowned.score()
    before = crowned.state()
    again = crowned.with_settings(tracking_url="http://127.0.0.1:9").score()
    assert (again["changed"], again["unchanged"], again["version"]) == (0, 3, first["version"])
    assert (again["page"], again["digest"]) == (first["page"], first["digest"])
    assert crowned.state() == before


def test_force_computes_the_same_again_and_publishes_nothing_new(crowned: World) -> None:
    first = crowned.score()
    again = crowned.score(force=True)
    assert (again["changed"], again["unchanged"], again["version"]) == (0, 0, first["version"])


def test_another_version_replaces_the_scores_and_the_old_ones_stay_in_the_history(crowned: World) -> None:
    first = crowned.score()
    second = crowned.register(1)
    output = crowned.score(version=second)
    assert (output["changed"], output["version"]) == (3, first["version"] + 1)
    assert set(crowned.rows()["model_version"]) == {second}
    assert set(crowned.rows(version=first["version"])["model_version"]) == {crowned.champion}
    assert crowned.table.digest(first["version"]) == first["digest"] != output["digest"]


@pytest.mark.parametrize("change", ["as_of", "suite", "data"])
def test_scores_are_made_anew_when_what_they_are_made_from_changes(crowned: World, change: str) -> None:
    crowned.score(last=DAYS[2])
    call: dict[str, Any] = {"last": DAYS[2]}
    if change == "suite":
        write_suite(crowned.settings, "scoring", expectation("expect_column_values_to_not_be_null", column="number"))
    elif change == "as_of":
        call["as_of"] = AS_OF + timedelta(days=1)
    else:
        land(crowned.settings, make_rows(600, seed=2, days=3))
        ingest(crowned.settings, crowned.definition, DAYS, "two")
    assert score.run(crowned.call(**call))["changed"] == 1


def test_the_cut_into_batches_leaves_no_trace(crowned: World, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = crowned.score()
    monkeypatch.setattr(scoring_rows, "BATCH_ROWS", 7)
    assert crowned.score(force=True)["digest"] == whole["digest"]


def test_a_version_that_knows_later_data_is_pointed_out(lake: World) -> None:
    later = lake.register(0, as_of=AS_OF + timedelta(days=1))
    [note] = lake.score(version=later)["notes"]
    assert "may have learned from these rows" in note


# ---- which version --------------------------------------------------------------------------------------------------


def test_a_retry_keeps_the_version_that_the_run_began_with(crowned: World) -> None:
    began_with = crowned.champion
    chosen = choose.run(crowned.call())
    assert (chosen["version"], chosen["named"]) == (began_with, False)
    other = crowned.crown(crowned.register(1))
    assert crowned.score(chosen=chosen)["model_version"] == began_with
    assert crowned.score()["model_version"] == other


def test_without_champion_and_name_nobody_scores(lake: World) -> None:
    lake.register(0)
    with pytest.raises(NobodyToScore, match="Name the version"):
        lake.score()
    assert not lake.table.exists()


def test_unknown_version_is_refused(crowned: World) -> None:
    with pytest.raises(versions.VersionUnknown):
        choose.run(crowned.call(version=999_999))


@pytest.mark.parametrize("wrong", ["3", True, 0, 1.5])
def test_what_is_no_version_number_is_refused(crowned: World, wrong: object) -> None:
    with pytest.raises(VersionMalformed):
        choose.run(crowned.call(version=wrong))


def test_barred_version_scores_only_by_force(crowned: World) -> None:
    barred = crowned.register(1)
    versions.bar(crowned.settings, MODEL, barred, actor="ana", reason="wrong answers")
    with pytest.raises(VersionNotUsable, match="is barred"):
        crowned.score(version=barred)
    assert not crowned.table.exists()
    assert crowned.score(version=barred, force=True)["model_version"] == barred


def test_version_barred_between_two_tries_is_refused_by_the_second(crowned: World) -> None:
    second = crowned.register(1)
    chosen = choose.run(crowned.call(version=second))
    versions.bar(crowned.settings, MODEL, second, actor="ana", reason="wrong answers")
    with pytest.raises(VersionNotUsable):
        crowned.score(chosen=chosen)


def test_files_that_are_not_the_registered_ones_do_not_score(lake: World) -> None:
    corrupt = lake.register(0, digest="0" * 64)
    with pytest.raises(VersionBroken, match="digest"):
        lake.score(version=corrupt)
    assert not lake.table.exists()


def test_a_version_that_is_not_signed_as_it_stands_does_not_score(lake: World, tmp_path: Path) -> None:
    keyed = lake.with_settings(**keys_of(signing(lake.settings, tmp_path / "keys")))
    version = keyed.crown(keyed.register(0))
    strict = lake.with_settings(trusted_keys=keyed.settings.trusted_keys)
    assert strict.score(last=DAYS[0], first=DAYS[0])["model_version"] == version
    before = strict.state()
    tamper(lake.settings, "decision = '{\"threshold\": 0.9}'", MODEL, version)
    for inputs in ({}, {"version": version}, {"version": version, "force": True}):
        with pytest.raises(SignatureWrong, match="changed since") as caught:
            strict.score(**inputs)
        assert caught.value.exit_code == 10
    unsigned = lake.register(1)
    with pytest.raises(SignatureMissing):
        choose.run(strict.call(version=unsigned))
    assert strict.state() == before, "nothing was published"


def keys_of(settings: Settings) -> dict[str, Any]:
    return {"signing_key": settings.signing_key, "trusted_keys": settings.trusted_keys}


def test_mlflow_away_is_try_again(crowned: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(VersionAway):
        crowned.with_settings(tracking_url="http://127.0.0.1:9").score()


# ---- partitions that are not there ----------------------------------------------------------------------------------


def test_the_one_partition_asked_for_may_still_come(crowned: World) -> None:
    with pytest.raises(TryAgain, match="2013-01-09 is not in the raw table"):
        crowned.score(last="2013-01-09", as_of=AS_OF + timedelta(days=20))


def test_a_range_with_a_missing_day_publishes_the_others_and_ends_red(crowned: World) -> None:
    with pytest.raises(score.ScoringIncomplete, match="1 missing \\(2013-01-04\\); 3 published") as caught:
        crowned.score(first=DAYS[0], last="2013-01-04", as_of=AS_OF + timedelta(days=20))
    assert caught.value.missing == ["2013-01-04"]
    assert list(crowned.table.partitions()) == DAYS


def test_nothing_newer_than_the_as_of_is_scored(crowned: World) -> None:
    crowned.score(first=DAYS[0], last=DAYS[-1], as_of=AS_OF - timedelta(days=1))
    assert list(crowned.table.partitions()) == DAYS[:2]
    with pytest.raises(NothingToDo):
        crowned.score(last="2013-01-09")


def test_two_runs_at_once_publish_one_after_the_other(crowned: World) -> None:
    second = crowned.register(1)
    crowned.score(last=DAYS[0])
    failures: list[BaseException] = []

    def work(version: int, key: str) -> None:
        try:
            crowned.score(version=version, last=key)
        except BaseException as error:  # noqa: BLE001 - the test reports it
            failures.append(error)

    first = crowned.champion
    threads = [threading.Thread(target=work, args=(version, DAYS[1])) for version in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert crowned.table.version() == 3
    assert set(crowned.rows(DAYS[1])["model_version"]) in ({first}, {second})
    assert len(crowned.rows(DAYS[1])) == len(crowned.raw(DAYS[1]))


# ---- killed ---------------------------------------------------------------------------------------------------------

KILLED = """
import json, os, signal, sys
from datetime import datetime
import deltalake, duckdb, great_expectations, mlflow.pyfunc, pandas, pyarrow, xgboost
from include.lake import publishing, writer
from include.lake.table import LakeTable
from include.serving.scoring import run as scoring
from include.settings import PROJECT, Settings
from include.steps import score
from include.steps.protocol import StepCall
from tests.training.factories import make_definition

settings, inputs = Settings.from_environment(), json.loads(sys.argv[1])

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def second_part():
    honest, done = scoring.PartRun.outcome, []
    def outcome(self, *given):
        done.append(1)
        return die() if len(done) == 2 else honest(self, *given)
    scoring.PartRun.outcome = outcome

def half_a_file():
    honest = writer._OpenFile.flush
    def flush(self):
        honest(self)
        die()
    writer._OpenFile.flush = flush

def before_the_commit():
    publishing.DeltaTable.create_write_transaction = die

def after_the_commit():
    publishing._remove_staged = die

def nowhere():
    pass

def in_child(work):
    # A fork that has only imported, as the steps' warm parent does it.
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def score_until(place):
    place()
    as_of = datetime.fromisoformat("2013-01-04T05:00:00+00:00")
    score.run(StepCall(settings=settings, definition=make_definition(), as_of=as_of, attempt=place.__name__,
                       inputs=inputs))

def tell(place, code):
    table = LakeTable(settings, "late", "scores")
    rows = table.dataset().count_rows() if table.exists() else 0
    with open(sys.argv[2], "a") as file:
        file.write(json.dumps([place.__name__, code, rows]) + "\\n")

for place in (second_part, half_a_file, before_the_commit, nowhere, after_the_commit, nowhere):
    if place is after_the_commit:
        inputs["version"] = inputs.pop("second")
    code = in_child(lambda: score_until(place))
    in_child(lambda: tell(place, code))
"""


def test_a_kill_at_any_point_leaves_nothing_half_written_and_a_rerun_finishes(crowned: World, tmp_path: Path) -> None:
    second = crowned.register(1)
    inputs = {"first": DAYS[0], "last": DAYS[-1], "second": second}
    environment = {
        "NORIA_HOME": str(crowned.settings.home),
        "NORIA_EXPECTATIONS": str(crowned.settings.expectations),
        "NORIA_DATABASE_URL": crowned.settings.database_url,
        "NORIA_TRACKING_URL": crowned.settings.tracking_url,
    }
    done = subprocess.run(  # noqa: PLW1510 - the exit code is asserted
        [sys.executable, "-W", "ignore", "-c", KILLED, json.dumps(inputs), str(tmp_path / "told")],
        env={**os.environ, **environment, "PYTHONPATH": str(PROJECT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in (tmp_path / "told").read_text().splitlines()]
    assert told == [
        ["second_part", -9, 0],
        ["half_a_file", -9, 0],
        ["before_the_commit", -9, 0],
        ["nowhere", 0, 600],
        ["after_the_commit", -9, 600],
        ["nowhere", 0, 600],
    ], done.stderr
    assert set(crowned.rows()["model_version"]) == {second}
    assert crowned.table.version() == 2, "the rerun after the commit changed nothing"
