"""Pages of the store: a model's own HTML, and nothing else that lies there."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.console.report_files import NoSuchPage, report_page
from include.lake.paths import UnsafeName
from include.settings import Settings


def keep(settings: Settings, path: str, text: str = "<p>page</p>") -> Path:
    place = settings.store / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    return place


def test_a_page_of_a_model_is_read(settings: Settings) -> None:
    keep(settings, "reports/alpha/gates/raw/2026-01-01.html", "<p>refused</p>")
    assert report_page(settings, "alpha", "gates/raw/2026-01-01.html") == "<p>refused</p>"


@pytest.mark.parametrize(
    "page",
    ["../beta/a.html", "/etc/a.html", "a.json", ".hidden.html", "x/../../beta/a.html", "absent.html", "", "a\\b.html"],
)
def test_what_is_no_page_of_the_model_is_not_read(settings: Settings, page: str) -> None:
    keep(settings, "reports/beta/a.html")
    keep(settings, "reports/alpha/a.json")
    keep(settings, "reports/alpha/.hidden.html")
    with pytest.raises(NoSuchPage):
        report_page(settings, "alpha", page)


def test_a_link_out_of_the_folder_is_not_followed(settings: Settings, tmp_path: Path) -> None:
    secret = tmp_path / "secret.html"
    secret.write_text("secret")
    (settings.store / "reports" / "alpha").mkdir(parents=True)
    (settings.store / "reports" / "alpha" / "a.html").symlink_to(secret)
    with pytest.raises(NoSuchPage):
        report_page(settings, "alpha", "a.html")


def test_a_name_that_is_no_models_opens_nothing(settings: Settings) -> None:
    with pytest.raises(UnsafeName):
        report_page(settings, "../alpha", "a.html")
