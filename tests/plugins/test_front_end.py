"""The console's front end as it is committed: built from the committed sources, with nothing from anywhere else."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess

from include.settings import PROJECT

SOURCES = PROJECT / "plugins" / "pages" / "frontend"
STATIC = PROJECT / "plugins" / "pages" / "static"


def digest() -> str:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "."],
        cwd=SOURCES, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    found = hashlib.sha256()
    for path in sorted(tracked):
        found.update(path.encode() + b"\0" + (SOURCES / path).read_bytes() + b"\0")
    return found.hexdigest()


def test_the_committed_build_is_of_the_committed_sources() -> None:
    built = (STATIC / "sources.sha256").read_text().strip()
    assert built == digest(), "the sources of the console have changed: run `make console` and commit what it makes"


def test_every_file_that_the_page_names_is_there_and_nothing_else_is() -> None:
    page = (STATIC / "index.html").read_text()
    assert "<style" not in page
    assert not re.search(r"<script(?![^>]* src=)", page), "the policy of the page lets no inline script run"
    named = {
        name
        for file in STATIC.rglob("*")
        if file.suffix in {".html", ".js", ".css"}
        for name in assets_in(file.read_text())
    }
    kept = {file.name for file in (STATIC / "assets").iterdir() if file.suffix != ".svg"}
    assert kept == named
    assert sum(file.stat().st_size for file in STATIC.rglob("*") if file.is_file()) < 2_000_000
    assert not list(STATIC.rglob("*.map"))


def assets_in(text: str) -> set[str]:
    return set(re.findall(r"[\w.-]+-[\w-]{8}\.(?:js|css)", text))


def test_nothing_is_fetched_from_elsewhere_and_each_package_is_pinned() -> None:
    for file in (STATIC / "assets").glob("*.css"):
        assert "url(http" not in file.read_text()
    assert "http" not in (STATIC / "index.html").read_text()
    package = json.loads((SOURCES / "package.json").read_text())
    wanted = package["dependencies"] | package["devDependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
    lock = json.loads((SOURCES / "package-lock.json").read_text())["packages"]
    assert not [name for name, about in lock.items() if name and "integrity" not in about]
    assert not [name for name, about in lock.items() if "resolved" in about], "a registry's address is in the lock"
    assert "react" in (STATIC / "licences.md").read_text()
