"""A model drains, leaves and comes back: one change at a time, whoever races, and no way back when its time is over."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import text

from include.errors import Refused
from include.registry import __main__ as command_line
from include.registry import database, refusals, retirement, retirement_marks, stages, state, versions
from include.registry.deployed import read_state
from include.settings import Settings

pytestmark = pytest.mark.database
WHO = {"actor": "ana", "reason": "replaced by another model"}
BACK = {"actor": "bob", "reason": "it is needed after all"}
Have = Callable[..., int]


@pytest.fixture
def champion(stored_settings: Settings, have_version: Have) -> Settings:
    """Version 2 is champion of the model m, version 1 was before, version 3 was never deployed."""
    for version in (1, 2, 3):
        have_version(version)
    for version in (1, 2):
        state.switch_champion(stored_settings, "m", version, actor="ana", reason="good")
    return stored_settings


def enter(settings: Settings, version: int = 3, deployment: str = "run") -> stages.StageChange:
    return stages.enter_stage(
        settings, "m", version, role="canary", share=0.1, plan={"stage": "canary_10"}, until=None,
        deployment=deployment, actor="ana", reason="next", force=True,
    )  # fmt: skip


def roles(settings: Settings) -> dict[str, int]:
    found = read_state(settings, "m")
    return {} if found is None else {role: held.version for role, held in found.roles.items()}


def run_sql(settings: Settings, statement: str) -> None:
    with database.transaction(settings.database_url) as connection:
        connection.execute(text(statement))


def let_time_pass(settings: Settings) -> None:
    run_sql(settings, "UPDATE retirement SET restorable_until = clock_timestamp() - interval '1 second'")


def test_a_model_that_begins_to_leave_answers_on_without_its_challenger_and_takes_nothing_new(
    champion: Settings,
) -> None:
    enter(champion)
    began = retirement.begin(champion, "m", drain=timedelta(hours=2), **WHO)
    assert (began.changed, began.champion, began.withdrawn) == (True, 2, 3)
    assert roles(champion) == {"champion": 2, "previous": 1}
    found = read_state(champion, "m")
    assert found is not None
    assert found.retired_at is None
    assert found.retiring_until is not None
    assert found.retiring_since is not None
    assert found.retiring_until - found.retiring_since == timedelta(hours=2)
    entry = state.history(champion, "m")[-1]
    assert (entry.action, entry.actor, entry.evidence["withdrawn"]["version"]) == ("drain", "ana", 3)
    assert entry.evidence["until"] == found.retiring_until.isoformat()
    assert versions.get_version(champion, "m", 3).status == "registered", "it did nothing wrong"
    for refused in (
        lambda: enter(champion),
        lambda: state.switch_champion(champion, "m", 3, force=True, actor="ana", reason="all the same"),
        lambda: stages.promote_challenger(champion, "m", 3, deployment="run", actor="ana", reason="all the same"),
    ):
        with pytest.raises(refusals.ModelRetiring, match="restore m"):
            refused()
    assert retirement.begin(champion, "m", **WHO).changed is False


def test_a_drain_under_way_can_be_shortened_and_not_prolonged(champion: Settings) -> None:
    began = retirement.begin(champion, "m", drain=timedelta(hours=2), **WHO).under_way
    assert retirement.begin(champion, "m", drain=timedelta(hours=1), **WHO).changed is False
    assert retirement.begin(champion, "m", drain=timedelta(hours=3), shortens=True, **WHO).changed is False
    sooner = retirement.begin(champion, "m", drain=timedelta(0), shortens=True, actor="bob", reason="nobody needs it")
    assert (sooner.changed, sooner.under_way.began_at) == (True, began.began_at)
    found = read_state(champion, "m")
    assert found is not None
    assert found.retiring_until == sooner.under_way.until < began.until
    entry = state.history(champion, "m")[-1]
    assert (entry.action, entry.actor, entry.revision) == ("drain", "bob", found.revision), "servers look again"


def test_a_champion_that_hurts_is_rolled_back_while_the_model_drains(champion: Settings) -> None:
    retirement.begin(champion, "m", **WHO)
    assert state.roll_back(champion, "m", actor="ana", reason="wrong answers").version == 1
    found = read_state(champion, "m")
    assert found is not None
    assert found.retiring_until is not None


def test_undoing_before_the_end_lets_the_model_answer_on_and_the_retirement_comes_to_nothing(
    champion: Settings,
) -> None:
    began = retirement.begin(champion, "m", **WHO).under_way
    assert retirement.restore(champion, "m", **BACK).champion == 2
    assert retirement.retire(champion, "m", began=began.began_at, **WHO).changed is False
    assert roles(champion) == {"champion": 2, "previous": 1}
    enter(champion)
    entries = [(entry.action, entry.actor) for entry in state.history(champion, "m")][-3:]
    assert entries == [("drain", "ana"), ("restore", "bob"), ("stage", "ana")]
    again = retirement.begin(champion, "m", **WHO).under_way
    assert again.began_at > began.began_at
    assert retirement.retire(champion, "m", began=began.began_at, **WHO).changed is False, "that was another one"


def test_a_retired_model_comes_back_as_it_was(champion: Settings) -> None:
    began = retirement.begin(champion, "m", keep=timedelta(days=7), **WHO).under_way
    out = retirement.retire(champion, "m", began=began.began_at, **WHO)
    assert (out.was, out.champion, roles(champion)) == (2, None, {})
    assert out.retirement is not None
    assert out.retirement.restorable_until is not None
    assert out.retirement.restorable_until == state.history(champion, "m")[-1].at + timedelta(days=7)
    assert {versions.get_version(champion, "m", n).status for n in (1, 2)} == {"retired"}
    assert retirement.restore(champion, "m", **BACK).champion == 2
    assert roles(champion) == {"champion": 2, "previous": 1}
    assert {versions.get_version(champion, "m", n).status for n in (1, 2, 3)} == {"registered"}
    found = read_state(champion, "m")
    assert found is not None
    assert (found.retired_at, found.retiring_until) == (None, None)
    assert retirement.read_retirement(champion, "m") is None
    with pytest.raises(refusals.NothingRetired):
        retirement.restore(champion, "m", **BACK)


def test_what_was_barred_meanwhile_does_not_come_back(champion: Settings) -> None:
    retirement.retire(champion, "m", **WHO)
    versions.bar(champion, "m", 1, actor="ana", reason="wrong labels")
    assert retirement.restore(champion, "m", **BACK).champion == 2
    assert roles(champion) == {"champion": 2}
    retirement.retire(champion, "m", **WHO)
    versions.bar(champion, "m", 2, actor="ana", reason="wrong labels")
    before = state.history(champion, "m")
    with pytest.raises(refusals.VersionBarred):
        retirement.restore(champion, "m", **BACK)
    assert state.history(champion, "m") == before, "nothing of it was kept"


def test_when_its_time_is_over_nobody_brings_it_back(champion: Settings) -> None:
    retirement.retire(champion, "m", **WHO)
    let_time_pass(champion)
    with pytest.raises(refusals.RestoredTooLate, match="deploy the version with force"):
        retirement.restore(champion, "m", **BACK)
    assert roles(champion) == {}
    state.switch_champion(champion, "m", 2, force=True, **BACK)
    assert retirement.read_retirement(champion, "m") is None, "what is retired next is another retirement"


def test_a_model_that_an_older_release_has_retired_can_be_brought_back(champion: Settings) -> None:
    retirement.retire(champion, "m", **WHO)
    run_sql(champion, "DELETE FROM retirement")
    assert retirement.restore(champion, "m", **BACK).champion == 2
    assert roles(champion) == {"champion": 2, "previous": 1}


def test_a_version_that_was_forced_upon_a_retired_model_does_not_change_what_it_comes_back_as(
    champion: Settings,
) -> None:
    retirement.retire(champion, "m", **WHO)
    stages.enter_stage(
        champion, "m", 3, role="candidate", plan={"stage": "candidate", "champion": None}, until=None,
        deployment="run", force=True, **WHO,
    )  # fmt: skip
    assert retirement.begin(champion, "m", **WHO).changed is False
    assert retirement.retire(champion, "m", **WHO).withdrawn == 3
    assert retirement.restore(champion, "m", **BACK).champion == 2


def test_of_a_deployment_and_a_retirement_that_race_one_comes_first_and_the_other_knows(champion: Settings) -> None:
    def attempt(work: Callable[[], object]) -> str:
        try:
            work()
        except Refused as refused:
            return type(refused).__name__
        return "done"

    for run in map(str, range(6)):
        with ThreadPoolExecutor(2) as threads:
            deploy = threads.submit(attempt, partial(enter, champion, deployment=run))
            begin = threads.submit(attempt, lambda: retirement.begin(champion, "m", **WHO))
        assert begin.result() == "done"
        assert deploy.result() in {"done", "ModelRetiring"}
        assert roles(champion) == {"champion": 2, "previous": 1}, "the challenger left, or never came in"
        retirement.restore(champion, "m", **BACK)


def test_freeing_is_settled_once_and_only_after_the_time(champion: Settings) -> None:
    out = retirement.retire(champion, "m", **WHO).under_way
    with pytest.raises(refusals.NotRetiredNow):
        retirement_marks.begin_freeing(champion, out)
    assert retirement_marks.retirements_due(champion) == []
    let_time_pass(champion)
    (due,) = retirement_marks.retirements_due(champion)
    assert retirement_marks.begin_freeing(champion, due) == [3]
    assert retirement_marks.begin_freeing(champion, due) == [3], "a rerun finds what it has to finish"
    with pytest.raises(refusals.VersionFreed, match="never answered"):
        state.switch_champion(champion, "m", 3, force=True, **BACK)
    retirement_marks.mark_freed(champion, due, final=True, evidence={"files": 3}, **WHO)
    assert retirement_marks.retirements_due(champion) == []
    assert state.history(champion, "m")[-1].evidence == {"files": 3, "final": True}
    found = read_state(champion, "m")
    assert found is not None
    assert found.retired_at is not None


def test_nothing_is_marked_on_a_retirement_that_was_undone(champion: Settings) -> None:
    out = retirement.retire(champion, "m", **WHO).under_way
    retirement.restore(champion, "m", **BACK)
    with pytest.raises(refusals.NotRetiredNow):
        retirement_marks.mark_archived(champion, out, archive="archive/m/x", digest="d", actor="ana", evidence={})
    retirement.retire(champion, "m", **WHO)
    with pytest.raises(refusals.NotRetiredNow):
        retirement_marks.mark_archived(champion, out, archive="archive/m/x", digest="d", actor="ana", evidence={})


def test_servers_report_only_while_the_model_drains(champion: Settings) -> None:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    retirement_marks.report_sighting(champion, "m", "a", seen_until=at, last_request_at=None)
    retirement.begin(champion, "m", **WHO)
    retirement_marks.report_sighting(champion, "m", "a", seen_until=at, last_request_at=None)
    retirement_marks.report_sighting(champion, "m", "b", seen_until=at, last_request_at=at)
    retirement_marks.report_sighting(champion, "m", "a", seen_until=at, last_request_at=at)
    found = retirement.read_retirement(champion, "m")
    assert found is not None
    seen = {"seen_until": at.isoformat(), "last_request_at": at.isoformat()}
    assert found.sightings == {"a": seen, "b": seen}


def test_the_command_brings_a_model_back_and_says_why_it_cannot(
    champion: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NORIA_DATABASE_URL", champion.database_url)
    monkeypatch.setenv("NORIA_TRACKING_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    retirement.retire(champion, "m", **WHO)
    assert command_line.main(["restore", "m", "--reason", "needed", "--actor", "bob"]) == 0
    assert "version 2 is in production again" in capsys.readouterr().out
    assert state.history(champion, "m")[-1].actor == "bob"
    assert command_line.main(["restore", "m", "--reason", "needed"]) == Refused.exit_code
    assert "nothing to bring back" in capsys.readouterr().err
