"""Batch scoring of files, and its gates: what is taken, what is refused, and where that is kept."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from include.gates.columns import stage_columns
from include.gates.suite import SCORING_STAGES
from include.lake import score_sources
from include.lake.score_columns import scores_schema
from include.lake.score_files import FilesOutside, NameUnreadable, NoFiles
from include.registry.results import find_checks
from include.serving.scoring import packaged
from include.serving.scoring import rows as scoring_rows
from include.steps import score
from include.training.packaged_model import InputError
from tests.steps.scoring_world import (
    DAYS,
    MODEL,
    World,
    crowned,
    expectation,
    lake,
    scoring_models,
    scoring_tracking,
    unlabelled,
    write_suite,
)

__all__ = ["crowned", "lake", "scoring_models", "scoring_tracking"]
pytestmark = pytest.mark.database


# ---- files ----------------------------------------------------------------------------------------------------------


def test_files_without_label_are_scored_in_their_own_order(crowned: World) -> None:
    one, two = unlabelled(80), unlabelled(60, seed=6).sample(frac=1, random_state=1)
    crowned.deliver("one.parquet", one)
    crowned.deliver("two.csv", two)
    crowned.deliver("_started.parquet", one.head(1))
    output = crowned.score(path="landing/new/*")
    assert (output["partitions"], output["rows"]) == (2, 140)
    found = crowned.rows()
    for name, frame in (("one.parquet", one), ("two.csv", two)):
        mine = found[found["data_source"] == f"landing/new/{name}"]
        assert mine["number"].tolist() == frame["number"].tolist()
        assert np.array_equal(mine["prediction"], crowned.logged[0].packaged.predict_frame(frame))
    assert crowned.score(path=str(crowned.settings.store / "landing/new/*"))["unchanged"] == 2


def test_a_file_that_comes_again_with_other_rows_replaces_its_scores(crowned: World) -> None:
    crowned.deliver("one.parquet", unlabelled(80))
    crowned.score(path="landing/new/one.parquet")
    crowned.deliver("one.parquet", unlabelled(70, seed=9))
    assert crowned.score(path="landing/new/one.parquet")["changed"] == 1
    assert len(crowned.rows()) == 70


BAD_FILES = {
    "cut off": ("one.parquet", lambda path: path.write_bytes(path.read_bytes()[:500]), "is not a complete Parquet"),
    "empty": ("one.parquet", lambda path: path.write_bytes(b""), "is empty"),
    "no row": ("one.parquet", lambda path: unlabelled(1).head(0).to_parquet(path), "has no row"),
    "no column": ("one.parquet", lambda path: unlabelled(9).drop(columns="seats").to_parquet(path), "lacks .*seats"),
    "wrong type": (
        "one.csv",
        lambda path: unlabelled(9).assign(distance="far").to_csv(path, index=False),
        "column distance is no number in 9 row",
    ),
    "no time": ("one.csv", lambda path: unlabelled(9).assign(left_at=None).to_csv(path, index=False), "event time"),
    "a column of our own name": (
        "one.parquet",
        lambda path: unlabelled(9).assign(_group=7).to_parquet(path),
        "has a column named _group",
    ),
    "a column that reading adds": (
        "one.csv",
        lambda path: unlabelled(9).assign(_source_file="x").to_csv(path, index=False),
        "has a column named _source_file",
    ),
    "other format": ("one.txt", lambda path: path.write_text("a"), "neither .parquet nor .csv"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_quarantined_and_the_good_ones_are_published(crowned: World, case: str) -> None:
    name, spoil, problem = BAD_FILES[case]
    spoil(crowned.deliver(name, unlabelled(40)))
    crowned.deliver("two.parquet", unlabelled(80))
    message = f"1 refused (landing/new/{name}); 1 published"
    with pytest.raises(score.ScoringIncomplete, match=re.escape(message)):
        crowned.score(path="landing/new/*")
    assert set(crowned.rows()["data_source"]) == {"landing/new/two.parquet"}
    [page] = (crowned.settings.store / "quarantine" / MODEL / "scores").glob("*/page.html")
    assert re.search(problem, page.read_text())
    assert (page.parent / "gate.json").is_file()


def test_paths_lead_nowhere_else(crowned: World, tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere" / "one.parquet"
    outside.parent.mkdir()
    unlabelled(9).to_parquet(outside)
    crowned.deliver("one.parquet", unlabelled(9)).with_name("link.parquet").symlink_to(outside)
    for path in (str(outside), "../../elsewhere/*.parquet", "landing/new/link.parquet", "/etc/*"):
        with pytest.raises(FilesOutside):
            crowned.score(path=path)
    with pytest.raises(NoFiles, match="There is no file"):
        crowned.score(path="landing/new/*.csv")
    with pytest.raises(score.PathOrPartitions):
        crowned.score(path="landing/new/*.parquet", first=DAYS[0])


def test_a_link_stands_for_its_file_and_a_file_counts_once_whatever_leads_to_it(crowned: World) -> None:
    file = crowned.deliver("one.parquet", unlabelled(9))
    file.with_name("again.parquet").symlink_to(file)
    file.with_name("loop").symlink_to(file.parent)
    assert crowned.score(path="landing/new/again.parquet")["changed"] == 1
    assert crowned.score(path="landing/new/**/*.parquet")["unchanged"] == 1
    other = crowned.settings.home / "another way"
    other.symlink_to(crowned.settings.store)
    assert crowned.score(path=str(other / "landing/new/one.parquet"))["unchanged"] == 1
    assert set(crowned.rows()["data_source"]) >= {"landing/new/one.parquet"}
    assert len(crowned.rows()) == 9


@pytest.mark.parametrize("path", ["landing/new/one\0.parquet", "landing/../../x.parquet"])
def test_a_path_that_is_none_is_refused(crowned: World, path: str) -> None:
    with pytest.raises(FilesOutside):
        crowned.score(path=path)


def test_a_name_that_is_no_text_is_refused_with_the_cure(crowned: World) -> None:
    file = crowned.deliver("one.parquet", unlabelled(9))
    os.rename(file, os.fsencode(file.parent) + b"/\xff.parquet")
    with pytest.raises(NameUnreadable, match=r"\\xff\.parquet is not UTF-8\. Rename it"):
        crowned.score(path="landing/new/*")


@pytest.mark.parametrize("when", ["before", "between"])
def test_a_file_that_goes_away_does_not_stop_the_others(
    crowned: World, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    gone = crowned.deliver("gone.parquet", unlabelled(9))
    crowned.deliver("one.parquet", unlabelled(9))
    honest = score_sources.file_checksum

    def checksum(path: Path) -> str:
        found = "" if path == gone and when == "before" else honest(path)
        if path == gone:
            gone.unlink(missing_ok=True)
        return found or honest(path)

    monkeypatch.setattr(score_sources, "file_checksum", checksum)
    with pytest.raises(score.ScoringIncomplete, match=r"1 refused \(landing/new/gone\.parquet\); 1 published"):
        crowned.score(path="landing/new/*")
    [folder] = (crowned.settings.store / "quarantine" / MODEL / "scores").iterdir()
    assert "cannot be opened: No such file" in (folder / "gate.json").read_text()


def test_a_file_that_may_not_be_read_is_refused_and_named(crowned: World, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = crowned.deliver("closed.parquet", unlabelled(9))
    crowned.deliver("one.parquet", unlabelled(9))
    honest = Path.open, shutil.copyfile

    def denied(path: Path) -> None:
        if path == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

    def opened(self: Path, *given: Any, **named: Any) -> Any:
        denied(self)
        return honest[0](self, *given, **named)

    def copied(source: Path, *given: Any, **named: Any) -> Any:
        denied(source)
        return honest[1](source, *given, **named)

    monkeypatch.setattr(Path, "open", opened)
    monkeypatch.setattr(shutil, "copyfile", copied)
    with pytest.raises(score.ScoringIncomplete, match=r"1 refused \(landing/new/closed\.parquet\); 1 published"):
        crowned.score(path="landing/new/*")
    [folder] = (crowned.settings.store / "quarantine" / MODEL / "scores").iterdir()
    assert "cannot be opened: Permission denied" in (folder / "gate.json").read_text()


# ---- gates ----------------------------------------------------------------------------------------------------------


def test_rows_that_the_borrowed_raw_suite_refuses_are_not_scored(crowned: World) -> None:
    bad = unlabelled(80)
    bad.loc[3, "distance"] = -5.0
    crowned.deliver("bad.parquet", bad)
    crowned.deliver("good.parquet", unlabelled(20))
    with pytest.raises(score.ScoringIncomplete, match=r"landing/new/bad\.parquet") as caught:
        crowned.score(path="landing/new/*")
    assert set(crowned.rows()["data_source"]) == {"landing/new/good.parquet"}
    [folder] = (crowned.settings.store / "quarantine" / MODEL / "scores").iterdir()
    assert len(pd.read_parquet(folder / "rows.parquet")) == 80
    assert (crowned.settings.store / caught.value.pages[0]).is_file()
    rows = [(c.stage, c.subject, c.verdict) for c in find_checks(crowned.settings, MODEL, kind="gate")]
    assert ("scoring", "landing/new/bad.parquet", "refused") in rows
    assert ("scoring", "landing/new/bad.parquet to landing/new/good.parquet", "partly") in rows

    crowned.deliver("bad.parquet", unlabelled(80))
    assert crowned.score(path="landing/new/*")["unchanged"] == 1
    assert (folder / "resolved.json").is_file()


def test_few_rows_and_missing_labels_do_not_matter_to_borrowed_suites_and_odd_means_only_warn(crowned: World) -> None:
    far = unlabelled(10).assign(distance=50_000.0)
    crowned.deliver("far.parquet", far)
    output = crowned.score(path="landing/new/far.parquet")
    document = json.loads((crowned.settings.store / output["input_page"]).with_suffix(".json").read_text())
    [result] = document["results"]
    assert {check["type"]: check["success"] for check in result["checks"]} == {
        "expect_column_values_to_be_between": True,
        "expect_column_mean_to_be_between": False,
        "expect_column_values_to_not_be_null": True,
    }
    assert (result["verdict"], result["warnings"]) == ("passed", 1)


def test_scores_that_their_suite_refuses_are_not_published(crowned: World) -> None:
    crowned.score(last=DAYS[0])
    before = crowned.state()
    write_suite(
        crowned.settings, "scores", expectation("expect_column_max_to_be_between", column="prediction", max_value=1e-9)
    )
    with pytest.raises(score.ScoringIncomplete, match="1 refused \\(2013-01-01\\); 0 published"):
        crowned.score(last=DAYS[0])
    assert crowned.state() == before
    kept = crowned.settings.store / "quarantine" / MODEL / "scores" / DAYS[0]
    assert "prediction" in pd.read_parquet(kept / "rows.parquet").columns
    assert {c.stage: c.verdict for c in find_checks(crowned.settings, MODEL, limit=2)} == {
        "scoring": "passed",
        "scores": "refused",
    }


def test_the_models_own_suites_may_name_every_column_that_the_stage_is_said_to_have(crowned: World) -> None:
    for stage in SCORING_STAGES:
        columns = [name for name in stage_columns(crowned.definition, stage) if name != "cargo"]
        suite = [expectation("expect_column_values_to_not_be_null", column=name, mostly=0.01) for name in columns]
        write_suite(crowned.settings, stage, *suite)
    assert crowned.score(last=DAYS[0])["changed"] == 1
    assert stage_columns(crowned.definition, "scores") == tuple(scores_schema(crowned.definition).names)


def test_a_machine_without_room_is_no_fault_of_the_data(crowned: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hungry:
        """A model that asks for more memory than there is."""

        columns = crowned.logged[0].packaged.columns
        description = crowned.logged[0].packaged.description

        def predict_frame(self, _: pd.DataFrame) -> Any:
            raise duckdb.OutOfMemoryException("no room")

    monkeypatch.setattr(packaged, "_load", lambda *_: Hungry())
    with pytest.raises(duckdb.OutOfMemoryException):
        crowned.score(last=DAYS[0])
    assert not (crowned.settings.store / "quarantine").exists()


def test_a_version_that_fails_on_a_row_refuses_only_that_part(crowned: World, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = scoring_rows.Scorer._predict

    def fails(self: scoring_rows.Scorer, part: Any, batch: Any) -> Any:
        answers = honest(self, part, batch)
        return np.where(np.arange(len(answers)) == 4, np.nan, answers) if part.key == DAYS[1] else answers

    monkeypatch.setattr(scoring_rows.Scorer, "_predict", fails)
    with pytest.raises(score.ScoringIncomplete, match="1 refused \\(2013-01-02\\); 2 published"):
        crowned.score()
    page = crowned.settings.store / "quarantine" / MODEL / "scores" / DAYS[1] / "page.html"
    assert "first row 4: nan" in page.read_text()


def test_a_row_that_the_model_cannot_read_is_named(crowned: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Unable:
        """A model that reads the first ten rows, and stumbles over the third of the next ten."""

        columns = crowned.logged[0].packaged.columns
        description = crowned.logged[0].packaged.description
        asked = 0

        def predict_frame(self, frame: pd.DataFrame) -> Any:
            self.asked += 1
            if self.asked > 1:
                raise InputError("expected a number", row=2, field="distance")
            return np.full(len(frame), 0.5)

    monkeypatch.setattr(scoring_rows, "BATCH_ROWS", 10)
    monkeypatch.setattr(packaged, "_load", lambda *_: Unable())
    with pytest.raises(score.ScoringIncomplete):
        crowned.score(last=DAYS[0])
    page = crowned.settings.store / "quarantine" / MODEL / "scores" / DAYS[0] / "page.html"
    assert "row 12, field &#39;distance&#39;: InputError: expected a number" in page.read_text()


def test_nothing_is_left_in_staging_but_what_a_killed_run_left(crowned: World) -> None:
    crowned.deliver("one.parquet", unlabelled(80))
    crowned.score(path="landing/new/*")
    bad = unlabelled(80).assign(distance=-1.0)
    crowned.deliver("bad.parquet", bad)
    with pytest.raises(score.ScoringIncomplete):
        crowned.score(path="landing/new/*")
    assert list((crowned.settings.store / "staging").rglob("scores/**/*.parquet")) == []
