"""What a real dag-processor writes to Airflow's database, and how soon a changed definition is seen by it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from include.settings import PROJECT
from include.spec.families import FAMILIES
from tests.bench.copies import names, write_models
from tests.bench.running import running_line
from tests.e2e.line import Line

MODELS: Final = 50
_PATIENCE_SECONDS: Final = 3600.0


def watch_a_change(folder: Path) -> bool:
    """Print how soon a change of one definition was seen, and how many DAGs were written anew; whether only its own."""
    line = line_of(folder, MODELS)
    changed = names(MODELS)[7]
    with running_line(line):
        interval = float(line.stack.environment()["AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL"])
        until(lambda: len(written(line)) == MODELS * len(FAMILIES), "Airflow does not know all DAGs")
        before = written(line)
        seen = change(line, changed)
        time.sleep(interval + 5)  # meanwhile every other file is parsed once more
        after = written(line)
    anew = [name for name in before if after[name] != before[name]]
    models = sorted({name.split(".")[0] for name in anew})
    print(
        f"\na dag-processor with {MODELS} models looks at each file every {interval:.0f} s: a changed definition was "
        f"seen after {seen:.1f} s; written anew: {len(anew)} of {len(after)} DAGs, of {', '.join(models)}"
    )
    return models == [changed]


def line_of(folder: Path, models: int) -> Line:
    """A stack with so many definitions, not started yet."""
    write_models(folder, models)
    shutil.copytree(PROJECT / "expectations", folder / "expectations")
    return Line(folder)


def change(line: Line, model: str, *, touch: bool = False) -> float:
    """Change a definition; seconds until all of its DAGs were written anew.

    :param touch: touch its DAG file as well, which has it parsed before its turn.
    """
    before = written(line)
    definition = line.home / "models" / f"{model}.yaml"
    definition.write_text(definition.read_text().replace("owner: ", "owner: other-", 1))
    if touch:
        (line.home / "dags" / f"{model}.py").touch()
    begin = time.monotonic()

    def seen() -> bool:
        now = written(line)
        return sum(now[name] != before[name] for name in before) == len(FAMILIES)

    until(seen, f"The change of {model} was not seen")
    return time.monotonic() - begin


def written(line: Line) -> dict[str, str]:
    """What Airflow's database holds of each DAG: its content's hash and when it was last written."""
    rows = line.airflow_rows("SELECT dag_id, dag_hash, last_updated FROM serialized_dag")
    return {row["dag_id"]: f"{row['dag_hash']} {row['last_updated']}" for row in rows}


def until(condition: Callable[[], bool], message: str, seconds: float = _PATIENCE_SECONDS) -> None:
    """Look until it is so.

    :raises SystemExit: with the message, if it is not in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"{message}.")
        time.sleep(0.5)
