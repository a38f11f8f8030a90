"""The page of threats says of each interface what stops them, and everything that it names is there."""

from __future__ import annotations

import re

import pytest

from include.settings import PROJECT

PAGE = (PROJECT / "docker" / "THREATS.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if line.startswith("| ")][1:]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_each_interface_has_a_test_of_what_stops_them(row: list[str]) -> None:
    assert "`tests/" in row[2]


@pytest.mark.parametrize("place", sorted(set(re.findall(r"`((?:tests|plugins|spec|lake|steps)/[\w./]+)`", PAGE))))
def test_each_place_that_is_named_is_there(place: str) -> None:
    assert (PROJECT / place).exists() or (PROJECT / "include" / place).exists()
