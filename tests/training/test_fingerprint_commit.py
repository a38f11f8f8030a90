"""Which commit a model says that it was made by."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from include.settings import PROJECT
from include.training.fingerprint import git_commit


def test_in_a_repository_it_is_the_one_that_is_checked_out() -> None:
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert git_commit() == head.stdout.strip()
    assert re.fullmatch(r"[0-9a-f]{40}", head.stdout.strip())


def test_in_an_image_it_is_the_one_that_it_was_built_from(tmp_path: Path) -> None:
    assert git_commit(tmp_path) is None
    (tmp_path / "REVISION").write_text("0123abc-dirty\n")
    assert git_commit(tmp_path) == "0123abc-dirty"
    (tmp_path / "REVISION").write_text("unknown\n")
    assert git_commit(tmp_path) is None
