"""Many models that are like one: its definition and DAG file under other names."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from include.settings import PROJECT

MODEL: Final = "flight_delay"


def names(count: int) -> list[str]:
    """Names of so many models."""
    return [f"model_{number:03}" for number in range(count)]


def write_models(folder: Path, count: int) -> None:
    """Definitions and DAG files of so many models, all like the flagship."""
    (folder / "models").mkdir(parents=True)
    (folder / "dags").mkdir()
    definition = (PROJECT / "include" / "models" / f"{MODEL}.yaml").read_text()
    for name in names(count):
        (folder / "models" / f"{name}.yaml").write_text(definition.replace(f"model: {MODEL}", f"model: {name}", 1))
        shutil.copy(PROJECT / "dags" / f"{MODEL}.py", folder / "dags" / f"{name}.py")
