"""What is freed at once is made anew bit for bit; what is freed for good is neither audit's nor another model's."""

from __future__ import annotations

import json
from typing import Any

import mlflow.artifacts
import pytest
import yaml

from include.errors import NothingToDo
from include.lake.locks import advisory_lock
from include.lake.table import LakeTable
from include.registry import retirement, state
from include.registry.lineage import origin_of
from include.registry.mlflow_client import connect
from include.registry.refusals import NotRetiredNow, RestoredTooLate, VersionFreed
from include.registry.retirement_state import Retirement
from include.registry.versions import get_version
from include.retirement import __main__ as command_line
from include.retirement import freeing
from include.retirement.archive import make_archive, verify_archive
from include.retirement.freeing import NotArchived, free_caches, free_for_good
from include.settings import Settings
from tests.privacy.life import DAYS, FIRST, MODEL, Life
from tests.retirement.ends import WHO, another_version, below, let_time_pass, now

pytestmark = pytest.mark.database
BACK = {"actor": "bob", "reason": "needed after all"}


def archived(life: Life) -> Retirement:
    make_archive(life.settings, now(life), actor="ana")
    return now(life)


def make_features_anew(life: Life) -> None:
    """As the restoring DAG does."""
    prepared = life.step("prepare")
    life.step("publish", gate=life.step("gate", stage="features", staged=prepared))


def test_what_was_freed_at_once_comes_back_to_the_same_digests(life: Life) -> None:
    features, raw = life.digests("features"), life.digests("raw")
    whole = LakeTable(life.settings, MODEL, "features").digest()
    training_set = life.step("assemble")["digest"]
    origin = origin_of(life.settings, life.definition, 1)
    retirement.retire(life.settings, MODEL, **WHO)
    freed = free_caches(life.settings, archived(life), actor="ana")
    assert len(freed["features"]) == DAYS
    assert freed["files"] >= 4
    assert (life.digests("features"), life.digests("raw")) == ({}, raw)
    assert not list(LakeTable(life.settings, MODEL, "features").folder.glob("*.parquet"))
    assert below(life.settings, "training") == []
    assert origin_of(life.settings, life.definition, 1).sources == origin.sources, "audits still know the digests"
    told = state.history(life.settings, MODEL)[-1]
    assert (told.action, told.evidence["features"], told.evidence["final"]) == ("free", DAYS, False)
    life.step("restore", **BACK)
    make_features_anew(life)
    assert life.digests("features") == features
    assert LakeTable(life.settings, MODEL, "features").digest() == whole
    assert life.step("assemble")["digest"] == training_set
    assert life.train() == 1, "the same fingerprint: it is the version that is in production"
    with pytest.raises(NothingToDo):
        life.step("prepare")


def test_the_next_data_run_makes_them_anew_too(life: Life, out: Retirement) -> None:
    features = life.digests("features")
    free_caches(life.settings, archived(life), actor="ana")
    retirement.restore(life.settings, MODEL, **BACK)
    life.data(FIRST, FIRST)
    assert life.digests("features") == features


def test_freeing_again_frees_nothing_and_tells_nothing(life: Life, out: Retirement) -> None:
    free_caches(life.settings, archived(life), actor="ana")
    entries = len(state.history(life.settings, MODEL))
    assert free_caches(life.settings, now(life), actor="ana")["features"] == []
    assert len(state.history(life.settings, MODEL)) == entries


def test_nothing_is_freed_without_an_archive_or_of_a_model_that_is_back(life: Life, out: Retirement) -> None:
    features = life.digests("features")
    with pytest.raises(NotArchived):
        free_caches(life.settings, out, actor="ana")
    archived(life)
    retirement.restore(life.settings, MODEL, **BACK)
    with pytest.raises(NotRetiredNow):
        free_caches(life.settings, out, actor="ana")
    with pytest.raises(NotRetiredNow):
        free_for_good(life.settings, replace_archive(out), actor="ana")
    assert life.digests("features") == features


def replace_archive(out: Retirement) -> Retirement:
    from dataclasses import replace

    return replace(out, archive="archive/late/x", archive_digest="d")


def test_a_model_comes_back_after_what_is_being_freed_and_not_in_its_middle(
    life: Life, out: Retirement, monkeypatch: pytest.MonkeyPatch
) -> None:
    from include.lake.locks import LockUnavailable

    monkeypatch.setattr(retirement, "_WAIT_SECONDS", 0.5)
    with (
        advisory_lock(life.settings.database_url, retirement.LOCK, MODEL),
        pytest.raises(LockUnavailable),
    ):
        retirement.restore(life.settings, MODEL, **BACK)
    assert retirement.restore(life.settings, MODEL, **BACK).champion == 1


def test_when_its_time_is_over_all_goes_but_what_audits_need(life: Life) -> None:
    unused = another_version(life)
    retirement.retire(life.settings, MODEL, **WHO)
    free_caches(life.settings, archived(life), actor="ana")
    with pytest.raises(NotRetiredNow):
        free_for_good(life.settings, now(life), actor="ana")
    scores, raw = life.digests("scores"), len(life.digests("raw"))
    before = verify_archive(life.settings, MODEL)[1].digest
    freed = free_for_good(life.settings, let_time_pass(life), actor="noria")
    assert (freed["raw"], freed["versions"], freed["kept_for"]) == (raw, [unused], [])
    assert life.digests("raw") == life.digests("features") == {}
    for folder in ("training", "staging", "quarantine", "history", "monitoring"):
        assert below(life.settings, folder) == [], folder
    assert life.digests("scores") == scores
    assert verify_archive(life.settings, MODEL)[1].digest == before
    connect(life.settings)
    kept, gone = (get_version(life.settings, MODEL, number) for number in (1, unused))
    assert mlflow.artifacts.list_artifacts(artifact_uri=kept.model_uri)
    assert not mlflow.artifacts.list_artifacts(run_id=gone.run_id)
    with pytest.raises(RestoredTooLate, match="archive/late/"):
        retirement.restore(life.settings, MODEL, **BACK)
    with pytest.raises(VersionFreed):
        state.switch_champion(life.settings, MODEL, unused, force=True, **BACK)
    told = state.history(life.settings, MODEL)[-1]
    assert (told.action, told.actor, told.evidence["final"]) == ("free", "noria", True)
    assert now(life).freed_at is not None


def test_killed_in_its_middle_the_next_day_ends_it(
    life: Life, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unused = another_version(life)
    retirement.retire(life.settings, MODEL, **WHO)
    archived(life)
    due = let_time_pass(life)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(freeing, "_forget_artifacts", killed)
        with pytest.raises(KeyboardInterrupt):
            free_for_good(life.settings, due, actor="noria")
    assert now(life).freed_at is None
    with pytest.raises(RestoredTooLate):
        retirement.restore(life.settings, MODEL, **BACK)
    monkeypatch.setattr(Settings, "from_environment", classmethod(lambda _: life.settings))
    assert command_line.main(["free"]) == 0
    assert json.loads(capsys.readouterr().out)[MODEL]["versions"] == [unused]
    assert now(life).freed_at is not None
    assert command_line.main(["free"]) == 0
    assert json.loads(capsys.readouterr().out) == {}


def test_what_was_never_archived_is_never_freed(
    life: Life, out: Retirement, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    let_time_pass(life)
    monkeypatch.setattr(Settings, "from_environment", classmethod(lambda _: life.settings))
    assert command_line.main(["free"]) == NotArchived.exit_code
    assert "before it is archived" in caplog.text
    assert len(life.digests("raw")) == DAYS


def test_raw_rows_stay_as_long_as_another_model_uses_their_past(life: Life, out: Retirement) -> None:
    lent = life.settings.models / "borrower.yaml"
    document = yaml.safe_load((life.settings.models / f"{MODEL}.yaml").read_text())
    lent.write_text(yaml.safe_dump(document | {"model": "borrower", "history": {"recent": {"model": MODEL}}}))
    archived(life)
    freed = free_for_good(life.settings, let_time_pass(life), actor="noria")
    assert (freed["raw"], freed["kept_for"]) == (0, ["borrower"])
    assert len(life.digests("raw")) == DAYS
    assert now(life).freed_at is None
    entries = len(state.history(life.settings, MODEL))
    free_for_good(life.settings, now(life), actor="noria")
    assert len(state.history(life.settings, MODEL)) == entries, "it is not told every day"
    lent.unlink()
    assert free_for_good(life.settings, now(life), actor="noria")["raw"] == DAYS
    assert now(life).freed_at is not None
