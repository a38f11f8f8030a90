"""What the stack says when Airflow does not get to know a DAG."""

from __future__ import annotations

from typing import cast

import pytest

from include.stack.airflow_api import AirflowApi, DagBroken
from include.stack.life import _wait_for_dags


class Forgetful:
    """An Airflow that has no DAG, and tells of an import error once: then the file is parsed anew."""

    def __init__(self) -> None:
        self.errors = {"/dags/late.py": "SyntaxError: no"}

    def has_dag(self, _: str) -> bool:
        return False

    def import_errors(self) -> dict[str, str]:
        told, self.errors = self.errors, {}
        return told


def test_the_import_error_that_ended_the_wait_is_told_though_it_is_gone() -> None:
    with pytest.raises(DagBroken, match="SyntaxError: no") as failure:
        _wait_for_dags(cast(AirflowApi, Forgetful()), "late")
    assert failure.value.errors == {"/dags/late.py": "SyntaxError: no"}


def test_a_dag_file_that_does_not_import_is_told_with_its_error() -> None:
    trace = 'Traceback (most recent call last):\n  File "late.py", line 1\nModuleNotFoundError: No module named late'
    message = str(DagBroken("late.data", {"late.py": trace}))
    assert "do not import:\nlate.py: Traceback" in message
    assert message.endswith("ModuleNotFoundError: No module named late")


def test_a_dag_that_is_late_is_not_put_on_files_that_import() -> None:
    message = str(DagBroken("late.data", {}))
    assert "every DAG file imports" in message
    assert "make status" in message
