"""The page of a deployment: the verdict first, what was seen, every check's numbers; from real registry rows."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from include.evaluation.live import Rules, judge
from include.lake.paths import table_folder
from include.registry import retirement, state, versions
from include.registry.stages import enter_stage, promote_challenger, withdraw
from include.reports import __main__ as command_line
from include.reports.deployment_page import write_deployment_page, write_story
from include.reports.deployment_story import NoSuchDeployment, read_story
from include.reports.deployment_traffic import read_traffic
from include.serving.request_log.tables import INFERENCE
from include.settings import Settings
from tests.registry.judgements import record_assessment
from tests.registry.stored_versions import have_version
from tests.reports.deployment_world import DEPLOYMENT, PLAN, evidence, story, traffic

__all__ = ["have_version"]
WHO = {"actor": "ana", "reason": "wins on the holdout"}
Have = Callable[..., int]


def page(folder: Path, *given: Any) -> str:
    return write_story(folder / "page.html", *given).read_text(encoding="utf-8")


# ---- what a reader sees ---------------------------------------------------------------------------------------------


def test_a_challenger_that_was_taken_out_says_so_first_with_the_reason_and_the_cure(tmp_path: Path) -> None:
    text = page(tmp_path, story("out"), traffic())
    assert "Version 8 was taken out of canary at 10 %, 6 min after it began, and barred." in text
    assert "standard deviations beside the champion&#39;s on" in text
    assert "Version 7 went on answering." in text
    assert "python -m include.registry lift-bar flight_delay 8" in text
    assert text.index("Shift of the mean prediction") < text.index("Latency, 99th percentile"), (
        "what failed comes first"
    )
    assert re.search(r">0\.\d{3} sd<", text)
    assert "83 of 805" in text
    assert "ValueError: could not convert" in text


def test_a_champion_says_on_what_it_was_seen_and_who_approved_it(tmp_path: Path) -> None:
    text = page(tmp_path, story("promoted"), traffic(0))
    assert "Version 8 became champion in place of version 7, after 6 min." in text
    assert "on 2,820 rows that both versions answered, 1,200 with their labels in" in text
    assert re.search(r"Approved by</dt><dd>ana<", text)
    assert 'class="verdict good"' in text


def test_a_champion_that_has_been_replaced_since_says_so(tmp_path: Path) -> None:
    told = replace(story("promoted"), state=story("out").state)
    text = page(tmp_path, told, None)
    assert "By now version 7 is champion." in text
    assert 'class="verdict warn"' in text


def test_a_deployment_under_way_says_where_it_is_and_what_it_waits_for(tmp_path: Path) -> None:
    told = story("under way")
    waiting = replace(told.phases[-1], judgements=told.phases[-1].judgements[:1])
    text = page(tmp_path, replace(told, phases=(*told.phases[:-1], waiting)), None)
    assert "Version 8 is in canary at 10 %, 3 min so far." in text
    assert "150 of 300 requests answered by both versions" in text
    assert "too little yet" in text


def test_nothing_from_the_data_becomes_markup_and_nothing_is_fetched(tmp_path: Path) -> None:
    told = story("out")
    entries = (replace(told.entries[0], actor="<script>alert(1)</script>"), *told.entries[1:])
    text = page(tmp_path, replace(told, entries=entries), traffic())
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert not re.search(r'(src|href)="?http', text)


# ---- what is read ---------------------------------------------------------------------------------------------------


@pytest.fixture
def registry(stored_settings: Settings, have_version: Have) -> Settings:
    """Version 7 is champion of m, version 8 registered."""
    for version in (7, 8):
        have_version(version)
    state.switch_champion(stored_settings, "m", 7, **WHO)
    return stored_settings


def enter(settings: Settings, role: str, share: float = 0.0, deployment: str = DEPLOYMENT, version: int = 8) -> None:
    name = f"{role}_{share * 100:g}" if share else role
    plan = {**PLAN, "stage": name, "kind": role, "champion": 7, "started_at": datetime.now(UTC).isoformat()}
    until = datetime.now(UTC) + timedelta(hours=1)
    enter_stage(settings, "m", version, role=role, share=share, plan=plan, until=until, deployment=deployment, **WHO)  # type: ignore[arg-type]


def assess(settings: Settings, stage: str, rows: int, **how: float) -> str:
    """Record what the judge says of so many rows; returns the reason."""
    found = judge(evidence(rows, **how), Rules.of({**PLAN, "stage": stage, "kind": stage.split("_")[0]}))
    record_assessment(
        settings, "m", version=8, deployment=DEPLOYMENT, stage=stage, verdict=found.verdict, reason=found.reason,
        evidence=found.to_document(),
    )  # fmt: skip
    return found.reason


def write_page_text(settings: Settings) -> str:
    return (settings.store / write_deployment_page(settings, "m", DEPLOYMENT)).read_text()


def log(settings: Settings, **columns: list[Any]) -> None:
    """Add rows to the model's request log."""
    count = len(columns["request_id"])
    now = datetime.now(UTC)
    rows = {
        "row": [0] * count, "at": [now] * count, "role": ["canary"] * count, "answered": [True] * count,
        "asked": [False] * count, "deployment": [DEPLOYMENT] * count, "day": [f"{now:%Y-%m-%d}"] * count,
        "latency_us": [400 + 10 * i for i in range(count)], "error": [None] * count, "prediction": [0.5] * count,
    }  # fmt: skip
    rows |= columns
    table = pa.table({f.name: pa.array(rows.get(f.name, [None] * count), f.type) for f in INFERENCE})
    write_deltalake(str(table_folder(settings, "m", "inference")), table, mode="append", partition_by=["day"])


@pytest.mark.database
def test_the_story_is_told_from_ledger_and_judgements(registry: Settings) -> None:
    enter(registry, "candidate")
    enter(registry, "shadow")
    assess(registry, "shadow", 100)
    assess(registry, "shadow", 420)
    enter(registry, "canary", 0.1)
    reason = assess(registry, "canary_10", 400, failing=0.2)
    withdraw(registry, "m", 8, deployment=DEPLOYMENT, actor="noria server", reason=reason)
    told = read_story(registry, "m", DEPLOYMENT, now=datetime.now(UTC))
    assert (told.version, told.champion, told.ending, told.now_champion) == (8, 7, "out", 7)
    assert [(phase.name, phase.share, len(phase.judgements)) for phase in told.phases] == [
        ("candidate", 0.0, 0),
        ("shadow", 0.0, 2),
        ("canary_10", 0.1, 1),
    ]
    assert told.phases[1].seen["requests"] == 420
    assert [check["passed"] for check in told.phases[2].checks].count(False) == 1
    assert told.registered.status == "barred"
    written = registry.store / write_deployment_page(registry, "m", DEPLOYMENT)
    assert written.parent == registry.store / "reports" / "m"
    assert re.fullmatch(r"deployment-[A-Za-z0-9._-]+\.html", written.name)
    text = written.read_text()
    assert "was taken out of canary at 10 %" in text
    assert "it alone failed on" in text


@pytest.mark.database
def test_each_deployment_has_a_page_of_its_own_and_an_ended_one_keeps_its_end(registry: Settings) -> None:
    enter(registry, "candidate", deployment="one/a")
    withdraw(registry, "m", 8, deployment="one/a", actor="ana", reason="stopped by hand", bar=False)
    enter(registry, "candidate", deployment="one a")
    promote_challenger(registry, "m", 8, deployment="one a", actor="ana", reason="becomes champion")
    pages = [write_deployment_page(registry, "m", name) for name in ("one/a", "one a")]
    assert len(set(pages)) == 2
    out, champion = ((registry.store / path).read_text() for path in pages)
    assert "Version 8 was taken out of candidate" in out
    assert "Stopped by hand. Version 7 went on answering." in out
    assert "Version 8 became champion in place of version 7" in champion
    assert "Becomes champion." in champion


@pytest.mark.database
def test_a_deployment_whose_time_was_over_and_that_gave_way_is_out(registry: Settings, have_version: Have) -> None:
    have_version(9)
    plan = {**PLAN, "stage": "candidate", "kind": "candidate", "champion": 7}
    past = datetime.now(UTC) - timedelta(seconds=1)
    enter_stage(registry, "m", 8, role="candidate", plan=plan, until=past, deployment="old", **WHO)  # type: ignore[arg-type]
    enter(registry, "candidate", deployment="new", version=9)
    assert read_story(registry, "m", "old", now=datetime.now(UTC)).ending == "out"
    told = read_story(registry, "m", "new", now=datetime.now(UTC))
    assert (told.version, told.ending) == (9, "under way")


@pytest.mark.database
def test_a_deployment_that_ended_with_its_champion_is_out(registry: Settings) -> None:
    enter(registry, "shadow")
    retirement.retire(registry, "m", actor="ana", reason="nobody uses it")
    told = read_story(registry, "m", DEPLOYMENT, now=datetime.now(UTC))
    assert (told.ending, told.now_champion) == ("out", None)
    assert told.end is not None
    assert told.end.reason.startswith("nobody uses it")
    assert "The model was left without a champion." in write_page_text(registry)


@pytest.mark.database
def test_what_became_of_other_versions_meanwhile_is_not_the_end_of_a_deployment(
    registry: Settings, have_version: Have
) -> None:
    have_version(9)
    enter(registry, "shadow")
    versions.bar(registry, "m", 9, actor="ben", reason="another one")
    versions.bar(registry, "m", 8, actor="ana", reason="wrong units")
    told = read_story(registry, "m", DEPLOYMENT, now=datetime.now(UTC))
    assert told.end is not None
    assert (told.ending, told.end.actor, told.end.reason) == ("out", "ana", "wrong units")


@pytest.mark.database
def test_another_versions_promotion_is_no_deployments_success(registry: Settings, have_version: Have) -> None:
    have_version(9)
    enter(registry, "shadow")
    state.switch_champion(registry, "m", 9, actor="ana", reason="urgent")
    text = write_page_text(registry)
    assert "Version 8 was taken out of shadow" in text
    assert "Version 9 answered from then on." in text


@pytest.mark.database
def test_a_deployment_that_began_again_tells_both_ways(registry: Settings) -> None:
    enter(registry, "candidate")
    withdraw(registry, "m", 8, deployment=DEPLOYMENT, actor="ana", reason="stopped", bar=False)
    enter(registry, "candidate")
    told = read_story(registry, "m", DEPLOYMENT, now=datetime.now(UTC))
    assert [phase.ending for phase in told.phases] == ["out", "under way"]
    assert "under way" in write_page_text(registry)


@pytest.mark.database
def test_the_log_says_who_answered_how_fast_and_what(registry: Settings) -> None:
    enter(registry, "canary", 0.1)
    ids = [f"r{number}" for number in range(12)]
    log(registry, request_id=ids, version=[8] * 6 + [7] * 6)
    # What each has answered is scored by the other one; two rows fail; requests that name a version do not count.
    log(registry, request_id=ids, version=[7] * 6 + [8] * 6, answered=[False] * 12, prediction=[0.4] * 12)
    log(registry, request_id=["f1", "f2"], version=[8, 8], answered=[False] * 2, error=["KeyError: 'a'"] * 2)
    log(registry, request_id=["asked"], version=[8], asked=[True])
    found = read_traffic(registry, read_story(registry, "m", DEPLOYMENT, now=datetime.now(UTC)))
    assert found is not None
    [count] = found.counts
    assert (count.challenger, count.champion, count.scored, count.failed) == (6, 6, 12, 2)
    assert found.errors == (("KeyError: 'a'", 2),)
    assert found.medians["challenger"][0] == pytest.approx(0.425)
    assert found.predictions is not None
    assert sum(found.predictions.challenger) == sum(found.predictions.champion) == 12


@pytest.mark.database
def test_without_a_log_or_a_champion_the_page_is_written_all_the_same(
    stored_settings: Settings, have_version: Have
) -> None:
    have_version(8)
    enter_stage(
        stored_settings, "m", 8, role="candidate", plan={"stage": "candidate"}, until=None, deployment="first", **WHO
    )  # type: ignore[arg-type]
    promote_challenger(stored_settings, "m", 8, deployment="first", **WHO)
    text = (stored_settings.store / write_deployment_page(stored_settings, "m", "first")).read_text()
    assert "Version 8 became champion, the first of its model" in text
    assert "Both versions side by side" not in text


@pytest.mark.database
def test_an_unknown_deployment_is_refused(registry: Settings) -> None:
    with pytest.raises(NoSuchDeployment, match=r"include\.registry history m"):
        write_deployment_page(registry, "m", "none")


@pytest.mark.database
def test_a_version_lifted_later_is_not_called_barred(registry: Settings) -> None:
    enter(registry, "candidate")
    withdraw(registry, "m", 8, deployment=DEPLOYMENT, actor="ana", reason="a mistake")
    versions.lift_bar(registry, "m", 8, actor="ana", reason="it was none")
    text = (registry.store / write_deployment_page(registry, "m", DEPLOYMENT)).read_text()
    assert "and barred" not in text


@pytest.mark.database
def test_the_command_line_writes_the_newest_deployments_page(
    registry: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NORIA_DATABASE_URL", registry.database_url)
    monkeypatch.setenv("NORIA_STORE", str(registry.store))
    assert command_line.main(["deployment", "m"]) == 10
    assert "m has no deployment in the ledger" in capsys.readouterr().err
    enter(registry, "candidate")
    assert command_line.main(["deployment", "m"]) == 0
    assert "Version 8 is in candidate" in Path(capsys.readouterr().out.strip()).read_text()
    assert command_line.main(["deployment", "m", "another"]) == 10
