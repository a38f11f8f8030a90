"""Definitions that are edited while Airflow runs."""

from __future__ import annotations

import pytest

from tests.e2e.line import Document, Line, wait
from tests.e2e.models import shorten

pytestmark = [pytest.mark.e2e, pytest.mark.by_turns]

_MODEL = "flights_edited"
_SERIALIZED = "SELECT dag_hash, last_updated FROM serialized_dag WHERE dag_id = :dag ORDER BY created_at DESC LIMIT 1"


def test_changes_right_after_each_other_are_written_when_the_file_is_touched(line: Line) -> None:
    """Airflow's default leaves a DAG alone that was written in the last 30 seconds, though it parses the file."""
    _define(line, "first")
    line.wait_for_dag(f"{_MODEL}.train")
    # One of them at least, however slow the machine: with the default it would be none.
    assert min(_seconds_between_writes(line, owner) for owner in ("second", "third", "fourth")) < 30


def _seconds_between_writes(line: Line, owner: str) -> float:
    (before,) = line.airflow_rows(_SERIALIZED, dag=f"{_MODEL}.train")
    _define(line, owner)
    now = before

    def is_written_anew() -> bool:
        nonlocal now
        # Not only once: Airflow overlooks a change that falls into a parse of the same file.
        (line.home / "dags" / f"{_MODEL}.py").touch()
        (now,) = line.airflow_rows(_SERIALIZED, dag=f"{_MODEL}.train")
        return bool(now["dag_hash"] != before["dag_hash"])

    wait(is_written_anew, 90, f"the change to {owner} was never written")
    return float((now["last_updated"] - before["last_updated"]).total_seconds())


def _define(line: Line, owner: str) -> None:
    def change(document: Document) -> None:
        shorten(document)
        document["owner"] = owner

    line.define(_MODEL, "flight_delay", change)
