"""Debian's Chromium, driven by Playwright, as a person at a desk or with a phone; and axe, which looks for barriers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Literal

import pytest
import requests
from playwright.sync_api import Browser, Frame, FrameLocator, Locator, Page, sync_playwright

from tests.e2e.walk.login_server import password_of

Theme = Literal["light", "dark"]
DESK, PHONE = 1280, 390
SECONDS = 90
"""How long anything may take to appear: the machine is busy with the stack, and with other tests."""

needs_chromium = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="a browser walks through the console; on Debian: apt-get install chromium"
)

_SERIOUS = ("serious", "critical")


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, as long as the block runs."""
    path = shutil.which("chromium")
    with sync_playwright() as playwright:
        # As root Chromium starts without its sandbox only; it sees nothing but our own pages.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


def open_page(browser: Browser, *, width: int = DESK, theme: Theme = "light") -> Page:
    """A new window of somebody who has chosen this theme in Airflow."""
    context = browser.new_context(
        viewport={"width": width, "height": 844 if width == PHONE else 900},
        color_scheme=theme,
        has_touch=width == PHONE,
    )
    context.add_init_script(f"window.localStorage.setItem('theme', '{theme}')")
    context.set_default_timeout(SECONDS * 1000)
    return context.new_page()


def log_in(page: Page, address: str, user: str) -> None:
    """Through Airflow's own form."""
    page.goto(address)
    page.get_by_label("Username").fill(user)
    page.get_by_label("Password").fill(password_of(user))
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="Models", exact=True).wait_for()


def be_logged_in(page: Page, address: str, user: str) -> None:
    """As after :func:`log_in`, without a look at Airflow's pages, which take a while to load."""
    words = {"username": user, "password": password_of(user)}
    answer = requests.post(f"{address}/auth/token", json=words, timeout=SECONDS)
    answer.raise_for_status()
    page.context.add_cookies([{"name": "_token", "value": answer.json()["access_token"], "url": address}])


def ours(page: Page) -> FrameLocator:
    """Our page in Airflow's frame."""
    return page.frame_locator("iframe").first


@cache
def _axe() -> str:
    return files("axe_playwright_python").joinpath("axe.min.js").read_text()


def barriers(where: Page | Frame) -> list[str]:
    """What axe finds serious or critical, with the elements."""
    where.evaluate(_axe())
    found = where.evaluate("axe.run(document, {resultTypes: ['violations'], iframes: false})")
    return [
        f"{violation['id']} ({violation['impact']}): {violation['help']}: {node['html'][:200]}"
        for violation in found["violations"]
        if violation["impact"] in _SERIOUS
        for node in violation["nodes"]
    ]


def has_focus(element: Locator) -> bool:
    """Whether the keyboard is at this element of its document, within a second."""
    return bool(
        element.evaluate(
            """async (element) => {
                for (let tries = 0; tries < 20 && document.activeElement !== element; tries++)
                    await new Promise((resolve) => setTimeout(resolve, 50));
                return document.activeElement === element;
            }"""
        )
    )
