"""evidently in an environment of its own: it cannot be imported beside this project's pandas."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.bench.environments import CannotRun, install, installed

_SCRIPT: Final = Path(__file__).with_name("evidently_preset.py")
_PACKAGES: Final = ("evidently>=0.7.23,<0.8", "pandas<3")


@dataclass(frozen=True)
class Judged:
    """What it said of one window."""

    seconds: float
    drifted: frozenset[str]


@dataclass(frozen=True)
class Evidently:
    """Its programs and version; None if it could not be installed."""

    programs: Path | None
    name: str

    @classmethod
    def installed(cls, folder: Path) -> Evidently:
        """Install it, or say why not."""
        try:
            programs = install(folder, _PACKAGES)
        except CannotRun as problem:
            print(f"evidently is not measured: {problem}")
            return cls(None, "evidently")
        return cls(programs, installed(programs, "evidently"))

    def judge(self, reference: Path, windows: Sequence[Path]) -> list[Judged] | None:
        """Judge windows with the default preset; None without it."""
        if self.programs is None:
            return None
        command = [str(self.programs / "python"), str(_SCRIPT), str(reference), *map(str, windows)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            print(f"evidently failed: {done.stderr.strip()[-500:]}")
            return None
        said = [json.loads(line) for line in done.stdout.splitlines()]
        return [Judged(one["seconds"], frozenset(one["drifted"])) for one in said]
