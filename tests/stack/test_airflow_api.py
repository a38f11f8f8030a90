"""What the stack says when Airflow does not get to know a DAG."""

from __future__ import annotations

from include.stack.airflow_api import DagBroken


def test_a_dag_file_that_does_not_import_is_told_with_its_error() -> None:
    trace = 'Traceback (most recent call last):\n  File "late.py", line 1\nModuleNotFoundError: No module named late'
    message = str(DagBroken("late.data", {"late.py": trace}))
    assert "do not import:\nlate.py: Traceback" in message
    assert message.endswith("ModuleNotFoundError: No module named late")


def test_a_dag_that_is_late_is_not_put_on_files_that_import() -> None:
    message = str(DagBroken("late.data", {}))
    assert "every DAG file imports" in message
    assert "make status" in message
