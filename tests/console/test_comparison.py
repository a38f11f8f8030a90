"""A version beside the champion, as an approver sees it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from include.console.comparison import comparison_of
from include.registry.database import DatabaseAway
from include.registry.results import record_check
from include.settings import Settings
from tests.console.seeding import seed

BETTER = {"log_loss": {"value": 0.02, "low": 0.01, "high": 0.03}}
DETAILS = {
    "challenger": {"log_loss": {"value": 0.2, "low": 0.1, "high": 0.3}},
    "champion": {"log_loss": {"value": 0.22, "low": 0.12, "high": 0.32}},
    "improvements": {"naive": {"log_loss": {"value": 0.5}}, "champion": BETTER},
    "comparison": {"status": "part", "rows": 139, "reason": "the champion has seen the rest"},
    "champion_version": 1,
}


@pytest.mark.database
def test_the_newest_evaluation_of_the_version_itself_is_shown(stored_settings: Settings) -> None:
    seed(stored_settings, ["alpha", "beta"], versions=3, entries=1, checks=2)
    now = datetime.now(UTC)
    for model, subject in (("alpha", "f2"), ("alpha", "f1"), ("beta", "f3")):
        details = {**DETAILS, "champion_version": 1 if (model, subject) == ("alpha", "f2") else 9}
        record_check(
            stored_settings, model=model, kind="evaluation", stage="evaluate", as_of=now, subject=subject,
            verdict="part", details=details, page=f"reports/{model}/evaluation/{subject}.html",
        )  # fmt: skip
    found = comparison_of(stored_settings, "alpha", 2)
    assert found is not None
    assert (found.status, found.rows, found.reason) == ("part", 139, "the champion has seen the rest")
    assert (found.champion_version, found.champion) == (1, DETAILS["champion"])
    assert (found.challenger, found.improvements) == (DETAILS["challenger"], BETTER)
    assert found.page == "reports/alpha/evaluation/f2.html"
    assert comparison_of(stored_settings, "alpha", 3) is None, "it was never evaluated"
    assert comparison_of(stored_settings, "alpha", 7) is None, "there is no such version"


def test_a_database_that_is_away_is_told(settings: Settings) -> None:
    with pytest.raises(DatabaseAway):
        comparison_of(replace(settings, database_url="postgresql+psycopg2://noria@127.0.0.1:9/noria"), "alpha", 2)
