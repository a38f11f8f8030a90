"""A walk through the console with a real browser, as people who log in: what they see, decide and can account for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import requests
from playwright.sync_api import Browser, FrameLocator, Locator, Page, expect

from tests.e2e.line import Line
from tests.e2e.staged import ledger
from tests.e2e.walk.browser import (
    DESK,
    PHONE,
    SECONDS,
    Theme,
    barriers,
    be_logged_in,
    chromium,
    has_focus,
    log_in,
    needs_chromium,
    open_page,
    ours,
)
from tests.e2e.walk.login_server import login_server
from tests.e2e.walk.models import ASKED, NEW, STAGED, make_models, requests_for

pytestmark = [pytest.mark.e2e, pytest.mark.by_turns, needs_chromium]

expect.set_options(timeout=SECONDS * 1000)


@dataclass
class Console:
    """The running stack with its three models, where people log in, and their browser."""

    line: Line
    address: str
    browser: Browser

    def page_of(self, user: str, *, width: int = DESK, theme: Theme = "light") -> Page:
        """A window in which the user is logged in."""
        page = open_page(self.browser, width=width, theme=theme)
        be_logged_in(page, self.address, user)
        return page

    def model(self, name: str) -> str:
        """Address of a model's page without Airflow around it."""
        return f"{self.address}/noria/models/{name}"


@pytest.fixture(scope="module")
def console(line: Line) -> Iterator[Console]:
    """The models, and two deployments that wait for a person."""
    with login_server(line) as server, chromium() as browser:
        make_models(line)
        for model, version in ((NEW, 1), (ASKED, 2)):
            line.trigger(f"{model}.deploy", "walk", {"version": version, "reason": "see whether it is better"})
        server.await_ready()
        yield Console(line, server.address, browser)


def test_a_deployment_is_started_watched_approved_and_rolled_back_in_the_browser(console: Console) -> None:
    page = open_page(console.browser)
    log_in(page, console.address, "ana")
    page.get_by_role("link", name="Models", exact=True).click()
    frame = ours(page)
    for model in (STAGED, NEW, ASKED):
        expect(frame.get_by_role("link", name=model)).to_be_visible()
    frame.get_by_role("link", name=STAGED).click()
    expect(frame.get_by_role("heading", name=STAGED, level=1)).to_be_visible()
    frame.locator("body").evaluate("window.neverReloaded = true")
    serves = frame.get_by_role("region", name="Serves now")
    with requests_for(console.line, STAGED):
        answer(frame, "Deploy…", "Deploy", "trained with more rounds")
        expect(serves).to_contain_text("v2 shadow")
        approve_after_reading(frame)
        expect(serves).to_contain_text("v2 canary 30 %")
        expect(serves).to_contain_text("v2 champion 100 %")
    answer(frame, "Roll back…", "Roll back", "false alarms since the morning")
    expect(serves).to_contain_text("v1 champion 100 %")
    assert frame.locator("body").evaluate("window.neverReloaded"), "all of it was seen without a reload"
    read_timeline(frame)
    promoted, back = (entry for entry in ledger(console.line, STAGED)[1:] if entry["action"] in ("promote", "rollback"))
    assert (promoted["actor"], promoted["evidence"]["approval"]["note"]) == ("ana", "the card convinces me")
    assert (back["actor"], back["reason"]) == ("ana", "false alarms since the morning")
    page.context.close()


def answer(frame: FrameLocator, opener: str, button: str, reason: str, leaves: Locator | None = None) -> None:
    """Use a dialog with the keyboard: it wants a reason, and says what became of it.

    :param leaves: part of the page that goes away meanwhile, and does not take the dialog along.
    """
    frame.get_by_role("button", name=opener).press("Enter")
    dialog = frame.get_by_role("dialog")
    words = dialog.get_by_label("Reason (required)")
    assert dialog.evaluate("dialog => dialog.contains(document.activeElement)"), "the keyboard is in the dialog"
    dialog.get_by_role("button", name=button, exact=True).press("Enter")
    expect(dialog.get_by_role("alert")).to_contain_text("Say why")
    words.fill(reason)
    expect(dialog).to_contain_text("Recorded as done by ana")
    dialog.get_by_role("button", name=button, exact=True).press("Enter")
    if leaves is not None:
        expect(leaves).to_have_count(0)
    expect(dialog.get_by_role("status")).to_be_visible()
    close = dialog.get_by_role("button", name="Close")
    assert has_focus(close)
    close.press("Enter")
    expect(dialog).to_have_count(0)


def approve_after_reading(frame: FrameLocator) -> None:
    """The model card and the comparison are above the buttons."""
    question = frame.get_by_role("region", name=f"Deploy {STAGED} version 2, in place of version 1?")
    compared = question.get_by_role("region", name="Comparison of version 2 with the champion")
    expect(compared).to_contain_text("ROC AUC")
    expect(compared).to_contain_text("Champion, version 1")
    card = question.locator("iframe")
    expect(card.content_frame.get_by_role("heading", name=f"{STAGED} version 2")).to_be_visible()
    approve = question.get_by_role("button", name="Approve…")
    places = [part.bounding_box() for part in (compared, card, approve)]
    tops = [place["y"] for place in places if place is not None]
    assert len(tops) == len(places)
    assert tops == sorted(tops)
    answer(frame, "Approve…", "Approve", "the card convinces me", leaves=frame.locator("section:has(.card-of)"))
    assert has_focus(frame.get_by_role("heading", level=1)), "the keyboard is on the page, though its button is gone"


def read_timeline(frame: FrameLocator) -> None:
    """Each change with who made it and why, the newest first."""
    entries = frame.get_by_role("region", name="Timeline").get_by_role("listitem")
    expect(entries.first).to_contain_text("Rolled back from v2 to v1")
    expect(entries.first).to_contain_text("false alarms since the morning")
    expect(entries.first).to_contain_text("by ana")
    promoted = entries.filter(has_text="v2 became champion")
    expect(promoted).to_contain_text("by ana, approved by ana: the card convinces me")
    expect(entries.filter(has_text="v2 entered shadow")).to_contain_text("trained with more rounds")


def test_a_rejection_in_airflows_own_page_withdraws_the_version_and_is_accounted_for(console: Console) -> None:
    page = console.page_of("ana")
    page.goto(f"{console.address}/dags/{NEW}.deploy/runs/walk/tasks/approve/required_actions")
    expect(page.get_by_role("link", name="The whole model card")).to_be_visible()
    expect(page.get_by_text("ROC AUC on").first).to_be_visible()
    page.get_by_role("textbox").fill("nobody asked for it")
    page.get_by_role("button", name="Reject").click()
    page.goto(console.model(NEW))
    timeline = page.get_by_role("region", name="Timeline").get_by_role("listitem")
    expect(timeline.first).to_contain_text("ana rejected walk_new version 1: nobody asked for it")
    last = ledger(console.line, NEW)[-1]
    assert (last["actor"], last["from_version"]) == ("ana", 1)
    expect(page.get_by_role("region", name="Serves now")).to_contain_text("Nothing is deployed")
    page.goto(f"{console.address}/dags/{NEW}.deploy/runs/walk/tasks/verify/details")
    with page.expect_popup() as opened:
        page.get_by_role("link", name="MLflow run").click()
    run = console.line.rows("SELECT run_id FROM model_version WHERE model = :m", m=NEW)[0]["run_id"]
    expect(opened.value.get_by_text(run).first).to_be_visible()
    assert opened.value.url.startswith(console.line.settings.tracking_url)
    page.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE])
def test_nothing_bars_anybody_from_a_page_in_either_theme_or_width(console: Console, theme: Theme, width: int) -> None:
    page = console.page_of("ana", width=width, theme=theme)
    faults = {}
    for address in (console.model(""), console.model(ASKED)):
        page.goto(address)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        if address.endswith(ASKED):
            expect(page.get_by_role("region", name="Comparison of version 2 with the champion")).to_be_visible()
            expect(page.get_by_role("list", name="Lineage of version 1")).to_be_visible()
        faults[address] = barriers(page)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "it needs no scrolling aside"
    pages = [
        page.get_by_role("link", name=name).first.get_attribute("href") for name in ("Gate page", "The card alone")
    ]
    pages.append(page.get_by_role("link", name="The whole evaluation of version 2").get_attribute("href"))
    assert tabbed(page, 5) == ["Models", "Retrain…", "Deploy…", "Roll back…", "Retire…"]
    page.get_by_role("button", name="Roll back…").press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    faults["dialog"] = barriers(page)
    assert {"Reason (required)", "Cancel"} <= set(tabbed(page, 8)) <= {"Back to", "Reason (required)", *DIALOG}
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert has_focus(page.get_by_role("button", name="Roll back…"))
    for address in pages:
        page.goto(f"{console.address}{address}")
        faults[str(address)] = barriers(page)
    assert {address: found for address, found in faults.items() if found} == {}
    page.context.close()


DIALOG = ("Bar v1 until a person lifts the bar", "Roll back", "Cancel", "")
"""What else the keyboard reaches in that dialog; nothing when it is at the browser's own bar."""


def tabbed(page: Page, times: int) -> list[str]:
    """Where the key Tab leads, as it is named."""
    named = """() => {
        const at = document.activeElement;
        if (at === document.body) return "";
        return (at.labels?.[0]?.querySelector("span") ?? at.labels?.[0] ?? at).textContent.trim();
    }"""
    found = []
    for _ in range(times):
        page.keyboard.press("Tab")
        found.append(page.evaluate(named))
    return found


def test_a_viewer_reads_and_cannot_act_and_a_stranger_sees_nothing(console: Console) -> None:
    page = console.page_of("vic")
    page.goto(console.model(ASKED))
    expect(page.get_by_text("You may look at this question, not answer it.")).to_be_visible()
    expect(page.get_by_text("acting on it is for its owners")).to_be_visible()
    for name in ("Retrain…", "Deploy…", "Roll back…", "Retire…", "Approve…", "Reject…"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    page.context.close()
    for address in ("", ASKED, f"{ASKED}/versions/2/card"):
        assert requests.get(console.model(address), timeout=10).status_code == 401
