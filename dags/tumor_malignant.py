"""The Airflow DAGs of one model: the one whose name this file bears. Copy it for another model, unchanged."""

from __future__ import annotations

from pathlib import Path

from dags.families import build_dags

# Airflow finds the DAG objects of a file among its global names.
globals().update(build_dags(Path(__file__).stem))
