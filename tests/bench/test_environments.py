from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from include.settings import PROJECT
from tests.bench.environments import CannotRun, install_locked


def _wheel(folder: Path, version: str) -> str:
    """A package that the project has an override for; returns the wheel's SHA-256."""
    folder.mkdir()
    file = folder / f"python_dateutil-{version}-py3-none-any.whl"
    info = f"python_dateutil-{version}.dist-info"
    with zipfile.ZipFile(file, "w") as wheel:
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: python-dateutil\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in {"NO_INDEX": "1", "OFFLINE": "1", "FIND_LINKS": str(tmp_path / "wheels")}.items():
        monkeypatch.setenv(f"UV_{name}", value)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(PROJECT)
    return _wheel(tmp_path / "wheels", "2.8.0")


def test_a_peer_gets_the_versions_of_its_lock_and_not_those_the_project_overrides(tmp_path: Path, wheel: str) -> None:
    lock = tmp_path / "peer.lock"
    lock.write_text(f"python-dateutil==2.8.0 --hash=sha256:{wheel}\n")
    programs = install_locked(tmp_path / "peer", lock)
    assert list(programs.parent.glob("lib/python3*/site-packages/python_dateutil-2.8.0.dist-info"))


def test_a_peer_whose_package_is_not_the_locked_one_cannot_run(tmp_path: Path, wheel: str) -> None:
    lock = tmp_path / "peer.lock"
    lock.write_text(f"python-dateutil==2.8.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(CannotRun, match="python-dateutil"):
        install_locked(tmp_path / "peer", lock)
