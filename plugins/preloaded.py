"""What the DAG files of models are made of, imported once by each of Airflow's processes, before it forks.

The dag-processor parses each file in a fork of its own, and the executor runs each task in one. What their parent has
imported they have too: without this each would import it anew, a third of a second of processor for each file and half
of that for each task. So a change under ``plugins/`` or ``include/`` needs a restart of Airflow's processes, as any
change of a plugin does; a definition, a DAG file and ``dags/`` are read anew at each parse.
"""

# ruff: noqa: F401 - imported for what it leaves in memory
from __future__ import annotations

import airflow.dag_processing.dagbag
import sqlglot.dialects.duckdb

import include.registry.roles
import include.spec.queries
import include.steps.register
import include.steps.rollout
import plugins.definitions
import plugins.notifiers.deadline
import plugins.notifiers.runs
import plugins.operators.alerts
import plugins.operators.approval
import plugins.operators.as_of
import plugins.operators.environment
import plugins.operators.local
import plugins.operators.start
import plugins.operators.step
import plugins.sensors.drain
import plugins.sensors.partitions
import plugins.sensors.stages
