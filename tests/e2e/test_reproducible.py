"""The same definition, code, data and as_of give the same model, bit for bit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from include.settings import PROJECT
from include.stack.postgres import Postgres
from tests.e2e.models import relax_training_suite, shorten

pytestmark = [pytest.mark.e2e, pytest.mark.by_turns, pytest.mark.database]

_AS_OF = "2013-03-21T00:00:00-04:00"


def test_two_clones_at_different_paths_and_threads_and_orders_make_the_same_model(
    postgres: Postgres, tmp_path: Path
) -> None:
    first = _digests(postgres, tmp_path / "one", cpu="1", order="forwards")
    second = _digests(postgres, tmp_path / "another" / "deeper", cpu="2", order="backwards")
    assert first == second


def _digests(postgres: Postgres, clone: Path, *, cpu: str, order: str) -> dict[str, str]:
    for room in ("include", "expectations", "tests"):
        shutil.copytree(PROJECT / room, clone / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "requirements.lock", clone)
    file = clone / "include" / "models" / "flight_delay.yaml"
    document = yaml.safe_load(file.read_text())
    shorten(document)
    document["training"] |= {"window": "5d", "validation": "2d", "holdout": "2d"}
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    relax_training_suite(clone / "expectations", "flight_delay")
    database = f"clone_{order}"
    postgres.create_database(database)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(clone),
        "PYTHONPATH": str(clone),
        "NORIA_DATABASE_URL": postgres.url(database),
        "NORIA_TRACKING_URL": f"sqlite:///{clone}/mlflow.db",
    }
    for words in (["include.datasets", "flight_delay"], ["tests.e2e.chain", "flight_delay", _AS_OF, cpu, order]):
        done = subprocess.run(
            [sys.executable, "-m", *words], env=environment, cwd=clone, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    postgres.drop_database(database)
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))
