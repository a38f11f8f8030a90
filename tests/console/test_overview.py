"""What the list shows of each model, from rows as steps and deployments leave them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from include.console.model import is_known, ledger_before, model_story, page_at
from include.console.overview import known_models, overview
from include.registry import retirement
from include.registry.results import record_check
from include.settings import Settings
from tests.console.seeding import seed

pytestmark = pytest.mark.database


@pytest.fixture
def seeded(stored_settings: Settings) -> Settings:
    seed(stored_settings, ["alpha", "beta"], versions=3, entries=120, checks=4)
    return stored_settings


def test_a_line_tells_champion_quality_gates_and_drift(seeded: Settings) -> None:
    (line,) = overview(seeded, ["alpha"])
    assert line.champion is not None
    assert (line.champion.version, line.champion.share, line.versions) == (3, 1.0, 3)
    assert line.quality is not None
    assert (line.quality.gate, line.quality.value, line.quality.bound) == ("ROC AUC at least 0.62", 0.7, 0.62)
    assert line.gates == (2, 2)
    assert line.drift is not None
    assert (line.drift.verdict, line.drift.share) == ("no drift", 0.04)
    assert line.decay is not None
    assert (line.decay.source, line.decay.verdict) == ("data", "no decay")
    assert line.in_production is not None
    assert (line.in_production.value, line.in_production.bound, line.in_production.passed) == (0.69, 0.7, True)


def test_a_line_tells_how_long_a_model_answers_and_how_long_it_can_be_brought_back(seeded: Settings) -> None:
    who = {"actor": "ana", "reason": "replaced"}
    began = retirement.begin(seeded, "alpha", **who).under_way
    alpha, beta = overview(seeded, ["alpha", "beta"])
    assert (alpha.retiring_until, alpha.restorable_until, alpha.retired_at) == (began.until, None, None)
    assert (beta.retiring_until, beta.restorable_until) == (None, None)
    out = retirement.retire(seeded, "alpha", began=began.began_at, **who).under_way
    (alpha,) = overview(seeded, ["alpha"])
    assert (alpha.retiring_until, alpha.restorable_until) == (None, out.restorable_until)
    assert alpha.retired_at is not None
    retirement.restore(seeded, "alpha", **who)
    (alpha,) = overview(seeded, ["alpha"])
    assert (alpha.retiring_until, alpha.restorable_until, alpha.retired_at) == (None, None, None)


def test_the_newest_verdict_counts_and_refused_data_is_no_latest_data(seeded: Settings) -> None:
    later = datetime(2026, 3, 1, tzinfo=UTC)
    about = {"model": "alpha", "kind": "gate", "stage": "features", "as_of": later, "subject": "2026-03-01"}
    record_check(seeded, **about, verdict="refused", details={"problem": "no rows"})  # type: ignore[arg-type]
    alpha, beta = overview(seeded, ["alpha", "beta"])
    assert (alpha.verdicts["features"], alpha.verdicts["raw"]) == ("refused", "passed")
    assert alpha.data_as_of == beta.data_as_of == datetime(2026, 1, 5, tzinfo=UTC)


def test_a_model_that_was_never_trained_has_an_empty_line(seeded: Settings) -> None:
    (line,) = overview(seeded, ["gamma"])
    assert (line.champion, line.versions, line.verdicts, line.quality) == (None, 0, {}, None)
    assert overview(seeded, []) == []
    assert known_models(seeded) == {"alpha", "beta"}
    assert [is_known(seeded, model) for model in ("alpha", "gamma")] == [True, False]


def test_a_story_has_each_history_in_order_and_pages_through_the_ledger(seeded: Settings) -> None:
    line, story = model_story(seeded, "alpha")
    assert line == overview(seeded, ["alpha"])[0]
    assert [version["version"] for version in story.versions] == [1, 2, 3]
    assert story.versions[0]["metrics"]["roc_auc"]["low"] == 0.68
    assert [check["share"] for check in story.drift] == [0.01, 0.02, 0.03, 0.04]
    assert len(story.gates) == 16
    assert [(one.step, one.tries) for one in story.costs] == [("ingest", 4), ("train", 4)]
    assert story.costs[0].in_all == story.costs[0].lately == pytest.approx(0.04)
    assert story.deployments == [], "what was promoted by hand has no run"
    assert [entry["revision"] for entry in story.ledger] == list(range(120, 20, -1))
    assert [entry["revision"] for entry in ledger_before(seeded, "alpha", 21)] == list(range(20, 0, -1))


def test_the_page_of_a_check_is_found_by_when_it_was_made(seeded: Settings) -> None:
    day = datetime(2026, 1, 2, tzinfo=UTC)
    assert page_at(seeded, "alpha", "gate", "raw", day, day) == "reports/alpha/page.html"
    assert page_at(seeded, "alpha", "gate", "raw", day.replace(year=2025), day.replace(year=2025)) is None


def test_a_thousand_models_take_as_many_statements_as_one(seeded: Settings) -> None:
    counted: list[str] = []

    def count(_connection: object, _cursor: object, statement: str, *_others: object) -> None:
        counted.append(statement)

    event.listen(Engine, "before_cursor_execute", count)
    try:
        overview(seeded, ["alpha"])
        one = len(counted)
        overview(seeded, ["alpha", "beta", *(f"m{number}" for number in range(1000))])
    finally:
        event.remove(Engine, "before_cursor_execute", count)
    assert len(counted) == 2 * one
