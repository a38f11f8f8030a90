"""The folder of packaged models that several workers share."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from include.serving.artifacts import KEPT_VERSIONS, ArtifactCache
from include.settings import Settings

DIGEST = "d" * 64


@pytest.fixture
def folders(settings: Settings) -> list[Path]:
    """Two versions more than are kept, the first used longest ago."""
    made = [settings.home / "serving" / "models" / "m" / f"{version}-{DIGEST}" for version in range(KEPT_VERSIONS + 2)]
    for number, folder in enumerate(made):
        folder.mkdir(parents=True)
        os.utime(folder, (number + 1, number + 1))
    return made


def test_versions_used_longest_ago_leave_unless_they_are_needed(settings: Settings, folders: list[Path]) -> None:
    ArtifactCache(settings).prune("m", {(0, DIGEST)})
    assert [folder for folder in folders if not folder.exists()] == [folders[1]]


def test_version_that_another_worker_removes_meanwhile_is_no_error(
    settings: Settings, folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    is_dir = Path.is_dir

    def seen_and_gone(path: Path) -> bool:
        found = is_dir(path)
        if path == folders[3]:
            shutil.rmtree(path)
        return found

    monkeypatch.setattr(Path, "is_dir", seen_and_gone)
    ArtifactCache(settings).prune("m", set())
    assert [folder for folder in folders if not folder.exists()] == [folders[0], folders[3]]
