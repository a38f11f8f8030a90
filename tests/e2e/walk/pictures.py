"""``make pictures``: takes the README's pictures of the real pages, from the stack that runs here, with Chromium.

They show the model that ``--model`` names, and the first open question to an approver; without one that picture stays
as it is.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import requests
from PIL import Image
from playwright.sync_api import Browser, Page

from include.errors import NothingToDo
from include.settings import PROJECT, Settings
from include.stack.environment import Stack
from include.stack.instance import load_instance
from tests.e2e.walk.browser import DESK, PHONE, Theme, chromium, open_page, ours

FOLDER = PROJECT / "plugins" / "pages" / "pictures"
MOST_BYTES = 600_000
"""All of them together: whoever clones the repository pays for them."""

_QUALITY = 82


@dataclass(frozen=True)
class Camera:
    """A browser in front of the stack's Airflow."""

    browser: Browser
    address: str

    def open(self, path: str, *, width: int = DESK, theme: Theme = "light") -> Page:
        """A page of Airflow; on loopback the stack asks nobody for a password."""
        token = requests.get(f"{self.address}/auth/token", timeout=60).json()["access_token"]
        page = open_page(self.browser, width=width, theme=theme)
        page.context.add_cookies([{"name": "_token", "value": token, "url": self.address}])
        page.goto(f"{self.address}{path}")
        return page

    def question(self) -> str | None:
        """The first model about which a person is asked."""
        page = self.open("/noria/api/models")
        lines = page.evaluate("fetch('/noria/api/models').then((answer) => answer.json())")["models"]
        page.context.close()
        return next((line["overview"]["model"] for line in lines if line["questions"]), None)


def pictures(camera: Camera, model: str) -> Iterator[tuple[str, bytes]]:
    """Names and PNGs, one after the other."""
    page = camera.open("/plugin/models")
    ours(page).get_by_role("link", name=model).wait_for()
    yield "models", settled(page)

    page = camera.open("/plugin/models", width=PHONE, theme="dark")
    ours(page).get_by_role("link", name=model).wait_for()
    yield "models-phone-dark", settled(page)

    page = camera.open(f"/noria/models/{model}", theme="dark")
    page.get_by_role("list", name="Lineage of version").wait_for()
    yield "model-dark", settled(page, since="Serves now", until="Lineage")

    asked = camera.question()
    if asked is None:
        print("Nobody is asked for an approval now: its picture stays as it is.", file=sys.stderr)
        return
    page = camera.open(f"/noria/models/{asked}")
    page.get_by_role("region", name="Comparison of version").wait_for()
    card = page.locator("iframe")
    card.content_frame.get_by_role("heading", level=1).wait_for()
    yield "approval", settled(page, until="Serves now")


def settled(page: Page, *, since: str | None = None, until: str | None = None) -> bytes:
    """The window as a PNG when nothing is being fetched; or the page from one section to another, by their headings."""
    page.wait_for_load_state("networkidle")
    clip = None
    if until is not None:
        top = 0.0 if since is None else max(0.0, _top(page, since) - 12)
        clip = {"x": 0.0, "y": top, "width": float(DESK), "height": _top(page, until) - 8 - top}
    png = page.screenshot(full_page=clip is not None, clip=clip)
    page.context.close()
    return png


def _top(page: Page, section: str) -> float:
    box = page.get_by_role("region", name=section, exact=True).bounding_box()
    assert box is not None, f"there is no section {section}"
    return float(box["y"])


def write(name: str, png: bytes) -> Path:
    """As WebP, which is a quarter of the PNG."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.webp"
    Image.open(io.BytesIO(png)).convert("RGB").save(path, "WEBP", quality=_QUALITY, method=6)
    return path


def main() -> None:
    """Take all of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.walk.pictures", description="Pictures for the README.")
    parser.add_argument("--model", default="flight_delay", help="whose page is shown; it should be in production")
    model = parser.parse_args().model
    settings = Settings.from_environment()
    instance = load_instance(settings.home)
    if instance is None:
        raise NothingToDo(f"No stack was ever started in {settings.home}: `make run MODEL={model}` first.")
    with chromium() as browser:
        for name, png in pictures(Camera(browser, Stack.of(settings, instance).airflow_url), model):
            print(write(name, png).relative_to(PROJECT))
    size = sum(path.stat().st_size for path in FOLDER.glob("*.webp"))
    if size > MOST_BYTES:
        sys.exit(f"The pictures in {FOLDER} are {size} bytes, more than {MOST_BYTES}: show less of the pages.")


if __name__ == "__main__":
    main()
