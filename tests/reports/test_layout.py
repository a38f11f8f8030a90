"""What all pages share: here that a page can be held to one theme, when the page around it has one."""

from __future__ import annotations

import pytest

from include.reports.layout import in_theme, render_page

WHERE = {"dag": "m.train", "task": "train", "run": "r"}


@pytest.mark.parametrize(("theme", "rule"), [("dark", "@media all {"), ("light", "@media not all {")])
def test_a_page_in_a_theme_no_longer_asks_the_readers_system(theme: str, rule: str) -> None:
    page = render_page("pod.html", where=WHERE, pod=None, events=[], note="")
    held = in_theme(page, theme)  # type: ignore[arg-type]
    assert "prefers-color-scheme" in page
    assert "prefers-color-scheme" not in held
    assert held.count(rule) == 1
    assert len(held) < len(page)
