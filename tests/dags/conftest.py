"""An Airflow home of the tests' own, set before anything imports Airflow."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]

if "NORIA_TEST_AIRFLOW_HOME" not in os.environ:
    home = tempfile.mkdtemp(prefix="noria-test-airflow-")
    os.environ["NORIA_TEST_AIRFLOW_HOME"] = home
    os.environ.update(
        AIRFLOW_HOME=home,
        AIRFLOW__CORE__DAGS_FOLDER=str(PROJECT / "dags"),
        AIRFLOW__CORE__PLUGINS_FOLDER=str(PROJECT / "plugins"),
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__CORE__UNIT_TEST_MODE="False",
    )
