"""Virtual environments of peers: each made once, with uv."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from include.settings import PROJECT

_UV: Final = str(PROJECT / ".venv" / "bin" / "uv")


class CannotRun(Exception):
    """A peer cannot be installed or started; the benchmark goes on without it."""


def install(folder: Path, packages: Sequence[str]) -> Path:
    """Make an environment, unless it is there for the same list of packages; returns its folder of programs.

    The project's overrides hold, which spare it XGBoost's libraries for GPUs.

    :raises CannotRun: if a package cannot be installed.
    """
    return _make(folder, packages, wanted="\n".join(packages), where=PROJECT)


def install_locked(folder: Path, lock: Path) -> Path:
    """Make an environment of exactly what a lock with hashes lists, as :func:`install` does.

    uv runs outside the project: from any folder below it would hold the project's overrides against the lock.

    :raises CannotRun: if a package cannot be installed.
    """
    packages = ["--require-hashes", "-r", str(lock)]
    return _make(folder, packages, wanted=lock.read_text(), where=Path(tempfile.gettempdir()))


def installed(programs: Path, package: str) -> str:
    """Name and version of a package in a peer's environment."""
    say = f"import importlib.metadata as m; print(m.version({package!r}))"
    found = subprocess.run([str(programs / "python"), "-c", say], capture_output=True, text=True, check=True)
    return f"{package} {found.stdout.strip()}"


def _make(folder: Path, packages: Sequence[str], *, wanted: str, where: Path) -> Path:
    marker, wish = folder / "installed", f"{sys.version}\n{wanted}"
    if not marker.exists() or marker.read_text() != wish:
        shutil.rmtree(folder, ignore_errors=True)
        _run([_UV, "venv", "--quiet", "--python", sys.executable, str(folder)], where)
        command = [_UV, "pip", "install", "--quiet", "--system-certs", "--compile-bytecode"]
        _run([*command, "--python", str(folder / "bin" / "python"), *packages], where)
        marker.write_text(wish)
    return folder / "bin"


def _run(command: Sequence[str], where: Path) -> None:
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotRun(f"{' '.join(command[:3])} failed: {done.stderr.strip()[-500:]}")
