"""When a model that drains may leave: on what every server has seen, at its deadline, or not at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from include.registry import retirement
from include.registry.retirement_state import Retirement
from include.settings import Settings
from include.steps.draining import Drain, judge, look_at_drain

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
DRAINING = Retirement(
    model="m", began_at=NOW - timedelta(minutes=5), until=NOW + timedelta(hours=1), quiet=timedelta(minutes=1),
    keep=timedelta(days=30), sightings={}, restorable_until=None, archive=None, archive_digest=None, freeing_at=None,
    freed_at=None,
)  # fmt: skip


def at(seen: float, asked: float | None) -> dict[str, str | None]:
    """A report: everything is known up to ``seen`` seconds ago, the last request came ``asked`` seconds ago."""
    moment = [None if ago is None else (NOW - timedelta(seconds=ago)).isoformat() for ago in (seen, asked)]
    return {"seen_until": moment[0], "last_request_at": moment[1]}


def judged(*reports: dict[str, str | None]) -> Drain:
    return judge(replace(DRAINING, sightings={f"server-{n}": one for n, one in enumerate(reports)}), NOW)


def test_it_waits_until_a_server_has_spoken_and_while_anybody_asks() -> None:
    assert judged() == Drain(state="waiting", reason="no server has said yet whether anybody asks")
    assert judged(at(2, 30)).state == "waiting"
    assert judged(at(2, 61)).state == "waiting", "the last seconds are not known yet"
    assert judged(at(2, 70)).state == "quiet"
    assert judged(at(2, None)).state == "quiet"


def test_one_server_that_is_asked_or_silent_speaks_for_all() -> None:
    assert judged(at(2, None), at(2, 30)).state == "waiting"
    assert judged(at(2, 400), at(2, 70)).state == "quiet"
    silent = judged(at(2, None), at(31, None))
    assert (silent.state, "server-1" in silent.reason) == ("waiting", True)


def test_a_server_has_time_to_say_something_at_all() -> None:
    fresh = replace(DRAINING, began_at=NOW - timedelta(seconds=9), sightings={"a": at(1, None)})
    assert judge(fresh, NOW).state == "waiting"
    assert judge(fresh, NOW + timedelta(seconds=1)).state == "quiet"


def test_the_deadline_ends_it_whoever_asks() -> None:
    asked = replace(DRAINING, until=NOW, sightings={"a": at(1, 1)})
    assert judge(asked, NOW).state == "over"
    assert judge(asked, NOW - timedelta(seconds=1)).state == "waiting"


@pytest.mark.database
def test_a_look_tells_an_undone_retirement_from_one_that_goes_on(stored_settings: Settings) -> None:
    who = {"actor": "ana", "reason": "replaced"}
    began = retirement.begin(stored_settings, "m", **who).under_way
    assert look_at_drain(stored_settings, "m", began.began_at).state == "waiting"
    retirement.restore(stored_settings, "m", actor="bob", reason="needed after all")
    undone = look_at_drain(stored_settings, "m", began.began_at)
    assert (undone.state, "needed after all (bob" in undone.reason) == ("undone", True)
    second = retirement.begin(stored_settings, "m", **who).under_way
    assert look_at_drain(stored_settings, "m", began.began_at).state == "undone", "this is another one"
    retirement.retire(stored_settings, "m", began=second.began_at, **who)
    assert look_at_drain(stored_settings, "m", second.began_at).state == "over"
