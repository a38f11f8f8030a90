"""Judgements that are kept: the newest is found, what says nothing new is not kept again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from include.registry import database
from include.registry.assessments import newest_assessment, record_if_news
from include.settings import Settings
from tests.registry.judgements import LONG_AGO, record_assessment

pytestmark = pytest.mark.database


def judged(verdict: str = "wait", **changes: Any) -> dict[str, Any]:
    return {
        "version": 2,
        "deployment": "run-1",
        "stage": "canary_10",
        "verdict": verdict,
        "reason": "120 of 500 requests",
        "evidence": {"checks": []},
        **changes,
    }


def count(settings: Settings) -> int:
    with database.transaction(settings.database_url) as connection:
        return int(connection.execute(text("SELECT count(*) FROM assessment")).scalar_one())


def test_the_newest_judgement_of_a_stage_is_found(stored_settings: Settings) -> None:
    for verdict, stage in (("wait", "shadow"), ("advance", "shadow"), ("wait", "canary_10")):
        record_assessment(stored_settings, "m", **judged(verdict, stage=stage))
    shadow = newest_assessment(stored_settings, "m", deployment="run-1", stage="shadow")
    newest = newest_assessment(stored_settings, "m", deployment="run-1")
    assert shadow is not None
    assert newest is not None
    assert (shadow.verdict, newest.verdict, newest.stage, newest.evidence) == (
        "advance", "wait", "canary_10", {"checks": []},
    )  # fmt: skip
    assert newest_assessment(stored_settings, "m", deployment="run-2", stage="shadow") is None


def test_only_news_are_kept(stored_settings: Settings) -> None:
    def kept(verdict: str, *, since: datetime = LONG_AGO, every: float = 60) -> bool:
        return record_if_news(stored_settings, "m", **judged(verdict), since=since, every=timedelta(seconds=every))

    assert [kept("wait"), kept("wait"), kept("advance"), kept("wait")] == [True, False, True, True]
    assert kept("wait", every=0)
    assert kept("wait", since=datetime.now(UTC) + timedelta(hours=1))
    assert count(stored_settings) == 5


def test_judges_that_race_keep_one_judgement(stored_settings: Settings) -> None:
    def keep(_: int) -> bool:
        return record_if_news(stored_settings, "m", **judged(), since=LONG_AGO, every=timedelta(seconds=60))

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(keep, range(6))) == 1


def test_old_judgements_that_said_wait_are_dropped_and_decisions_stay(stored_settings: Settings) -> None:
    for verdict in ("wait", "rollback"):
        record_assessment(stored_settings, "m", **judged(verdict, deployment="old"))
    with database.transaction(stored_settings.database_url) as connection:
        connection.execute(text("UPDATE assessment SET at = at - interval '31 days'"))
    record_if_news(stored_settings, "m", **judged(), since=LONG_AGO, every=timedelta(seconds=60))
    assert count(stored_settings) == 2
    assert newest_assessment(stored_settings, "m", deployment="old") is not None
