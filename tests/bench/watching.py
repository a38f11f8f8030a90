"""A real dag-processor over many models: how soon a changed definition is seen, and what is written anew for it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from include.settings import PROJECT
from tests.bench.copies import names, write_models
from tests.bench.running import running_line
from tests.e2e.line import Line

MODELS: Final = 50
_FAMILIES: Final = 7
_PATIENCE_SECONDS: Final = 300.0


def watch_a_change(folder: Path) -> bool:
    """Print how soon a change of one definition was seen, and how many DAGs were written anew; whether only its own."""
    line = Line(folder)
    write_models(folder, MODELS)
    shutil.copytree(PROJECT / "expectations", folder / "expectations")
    changed = names(MODELS)[7]
    with running_line(line):
        interval = float(line.stack.environment()["AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL"])
        before = _wait(line, lambda found: len(found) == MODELS * _FAMILIES)
        definition = folder / "models" / f"{changed}.yaml"
        definition.write_text(definition.read_text().replace("owner: ", "owner: other-", 1))
        begin = time.monotonic()
        _wait(line, lambda found: sum(found[name] != before[name] for name in before) >= _FAMILIES)
        seen = time.monotonic() - begin
        time.sleep(interval + 5)  # meanwhile every other file is parsed once more
        after = _written(line)
    anew = [name for name in before if after[name] != before[name]]
    models = sorted({name.split(".")[0] for name in anew})
    print(
        f"\na dag-processor with {MODELS} models looks at each file every {interval:.0f} s: a changed definition was "
        f"seen after {seen:.1f} s; written anew: {len(anew)} of {len(after)} DAGs, of {', '.join(models)}"
    )
    return models == [changed]


def _wait(line: Line, condition: Callable[[dict[str, str]], bool]) -> dict[str, str]:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition(found := _written(line)):
        if time.monotonic() > deadline:
            raise SystemExit(f"The dag-processor did not come so far: {len(found)} DAGs are there.")
        time.sleep(0.5)
    return found


def _written(line: Line) -> dict[str, str]:
    """What Airflow's database holds of each DAG: its content's hash and when it was last written."""
    engine = sa.create_engine(line.stack.postgres.url("airflow"), poolclass=sa.NullPool)
    with engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT dag_id, dag_hash, last_updated FROM serialized_dag"))
        return {str(name): f"{digest} {moment}" for name, digest, moment in rows}
