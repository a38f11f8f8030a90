"""The model card: all parts of the convention, the same words as page and as Markdown, nothing becomes markup."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from include.registry import retirement, versions
from include.registry.results import record_check
from include.registry.state import switch_champion
from include.reports.model_card import ModelCard
from include.reports.model_card_life import Life, NoCard, find_card, keep_card, read_card, read_life
from include.reports.model_card_page import card_document, escape_markdown, markdown_card, render_card, summary_of
from include.settings import Settings
from tests.registry.stored_versions import have_version
from tests.reports.cards import make_model_card, make_version
from tests.reports.test_evaluation_page import make_report

__all__ = ["have_version"]

MITCHELL = [
    "Model details",
    "Intended use",
    "Factors",
    "Metrics",
    "Evaluation data",
    "Training data",
    "Quantitative analyses",
    "Ethical considerations",
    "Caveats and recommendations",
]


@pytest.fixture(scope="module")
def card() -> ModelCard:
    return make_model_card()


def life(**changes: object) -> Life:
    values = {"standing": "Version 4 is the champion", "tone": "good", "signer": None, "read_at": "now"}
    return Life(**{**values, "approvals": (), "events": (), "watched": (), **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("form", [render_card, markdown_card])
def test_every_part_of_the_convention_is_under_one_of_the_four_functions(
    card: ModelCard, form: Callable[[ModelCard, Life | None], str]
) -> None:
    text = form(card, life())
    assert [part for part in MITCHELL if part not in text] == []
    places = [text.index(f"{name}: ") for name in ("Govern", "Map", "Measure", "Manage")]
    assert places == sorted(places)


@pytest.mark.parametrize("form", [render_card, markdown_card])
def test_data_has_its_digests_and_quality_its_intervals(
    card: ModelCard, form: Callable[[ModelCard, Life | None], str]
) -> None:
    text = form(card, None)
    assert "ab" * 16 in text
    assert "cd" * 16 in text
    assert card.quality is not None
    auc = next(one for one in card.quality.measures if one.name == "roc_auc").version
    assert auc.low is not None
    assert f"{auc.value:.4g}" in text
    assert f"{auc.low:.4g} to {auc.high:.4g}" in text
    assert "one city only" in text


def test_nothing_that_people_or_data_say_becomes_markup(card: ModelCard) -> None:
    page, text = render_card(card, life()), markdown_card(card, life())
    assert "<script" not in page
    assert "<b>DL</b>" not in page
    assert "&lt;b&gt;DL&lt;/b&gt;" in page
    assert "http://" not in page
    assert "<" not in text.replace("\\<", "")
    assert "[here]" not in text
    assert " | *bold*" not in text


@pytest.mark.parametrize(
    ("value", "text"),
    [("- a", "\\- a"), ("---", "\\---"), ("1. a", "1\\. a"), ("# a", "\\# a"), ("a\n\n# b", "a \\# b"), (-0.5, "-0.5"),
     ("https://a.example", "https\\://a.example"), (None, "–")],
)  # fmt: skip
def test_text_in_markdown_stays_text(value: object, text: str) -> None:
    assert escape_markdown(value) == text


def test_the_document_survives_being_json(card: ModelCard) -> None:
    assert ModelCard.model_validate_json(card.model_dump_json()) == card
    assert ModelCard.model_validate_json(card_document(card, life())) == card


def test_personal_columns_are_on_no_card() -> None:
    card = make_model_card(serving={"personal": ["carrier"]})
    assert (card.data.personal, card.data.hidden) == (1, 1)
    for text in (render_card(card, life()), markdown_card(card, life()), card.model_dump_json()):
        assert "carrier" not in text
        assert "UA" not in text


def test_a_version_without_an_evaluation_says_so() -> None:
    card = make_model_card().model_copy(update={"quality": None, "verdict": None, "gates": ()})
    for text in (render_card(card, None), markdown_card(card, None)):
        assert "registered without an evaluation" in text
    assert "Mind" in summary_of(card)


def test_where_it_is_worse_than_the_champion_is_a_limit() -> None:
    report = make_report()
    for one in report["slices"]:
        for found in (one["improvements"].get("champion") or {}).values():
            found.update(value=-0.2, low=-0.3, high=-0.1)
    card = make_model_card(report)
    assert any("surely worse than the champion was where carrier AA" in limit for limit in card.derived_limits)
    assert "worse than the champion" in render_card(card, None)


def test_the_summary_is_for_whoever_approves(card: ModelCard) -> None:
    text = summary_of(card)
    assert "ROC AUC on 1,500 holdout rows" in text
    assert "the champion 0." in text
    assert "Mind: one city only" in text


@pytest.mark.database
def test_approvals_and_history_are_as_they_are_now(
    stored_settings: Settings, have_version: Callable[..., int], card: ModelCard
) -> None:
    for number in (3, 4):
        have_version(number, model="late")
    keep_card(stored_settings, card, page=None)
    kept, before = read_card(stored_settings, "late", 4)
    assert kept == card
    assert before.standing == "Version 4 was never the champion"
    assert (before.events, before.approvals) == ((), ())

    evidence = {"approval": {"approved_by": "Bea", "at": "2013-10-02", "note": "I looked"}, "deployment": "run-1"}
    switch_champion(stored_settings, "late", 4, actor="ana", reason="it won", evidence=evidence)
    _, now = read_card(stored_settings, "late", 4)
    assert "is the champion since" in now.standing
    assert [(one.by, one.note) for one in now.approvals] == [("Bea", "I looked")]
    assert [(one.what, one.who) for one in now.events] == [("became champion", "ana")]
    page = render_card(kept, now)
    assert "Bea" in page
    assert "became champion" in page
    switch_champion(stored_settings, "late", 3, actor="bob", reason="by hand", force=True)
    _, later = read_card(stored_settings, "late", 4)
    assert later.events[-1].what == "replaced by version 3"
    assert "champion before the present one" in later.standing


@pytest.mark.database
def test_what_monitoring_says_of_this_version_is_on_it_and_not_what_it_says_of_others(
    stored_settings: Settings, have_version: Callable[..., int]
) -> None:
    have_version(4, model="late")
    for version, verdict in ((3, "drift"), (4, "no drift")):
        record_check(
            stored_settings, model="late", kind="drift", stage="monitor", as_of=datetime(2013, 10, 9, tzinfo=UTC),
            subject="w", verdict=verdict, details={"champion_version": version, "reason": "Because."},
        )  # fmt: skip
    found = read_life(stored_settings, make_version())
    assert [(one.name, one.verdict, one.tone) for one in found.watched] == [("Drift", "no drift", "good")]


@pytest.mark.database
def test_a_barred_version_says_so(stored_settings: Settings, have_version: Callable[..., int]) -> None:
    have_version(4, model="late")
    versions.bar(stored_settings, "late", 4, actor="ana", reason="hurts")
    registered = versions.get_version(stored_settings, "late", 4)
    found = read_life(stored_settings, registered)
    assert found.tone == "bad"
    assert [one.what for one in found.events] == ["barred"]


@pytest.mark.database
def test_a_life_goes_on_to_retirement_and_back(stored_settings: Settings, have_version: Callable[..., int]) -> None:
    have_version(4, model="late")
    switch_champion(stored_settings, "late", 4, actor="ana", reason="it won")

    def life() -> Life:
        return read_life(stored_settings, versions.get_version(stored_settings, "late", 4))

    began = retirement.begin(stored_settings, "late", actor="ana", reason="replaced").under_way
    assert "is the champion, and the model leaves until" in life().standing
    retirement.retire(stored_settings, "late", began=began.began_at, actor="ana", reason="replaced")
    assert life().standing == "Version 4 is retired"
    retirement.restore(stored_settings, "late", actor="bob", reason="needed after all")
    assert "is the champion since" in life().standing
    assert [(one.what, one.who) for one in life().events][1:] == [
        ("retirement of the model begun", "ana"),
        ("model retired", "ana"),
        ("retirement of the model undone", "bob"),
    ]


@pytest.mark.database
def test_a_version_of_before_there_were_cards_is_refused_with_the_cure(
    stored_settings: Settings, have_version: Callable[..., int]
) -> None:
    have_version(4, model="late")
    assert find_card(stored_settings, "late", 4) is None
    with pytest.raises(NoCard, match=r"Run late\.train again"):
        read_card(stored_settings, "late", 4)
    with pytest.raises(versions.VersionUnknown):
        read_card(stored_settings, "late", 5)
