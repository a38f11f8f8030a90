"""Runs the real DAGs of a model by ``dag.test()``, one after another, in a process with a database of its own.

Arguments: ``family,as_of``, or ``family,as_of,delivery`` to land another file before. Prints the tasks' states of each.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from airflow.dag_processing.dagbag import DagBag
from airflow.utils.db import initdb

MODEL = "tumor_malignant"

if __name__ == "__main__":
    initdb()
    dags = DagBag(Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])).dags
    for argument in sys.argv[1:]:
        family, as_of, delivery = f"{argument},,".split(",")[:3]
        if delivery:
            shutil.copy(delivery, Path(os.environ["NORIA_HOME"]) / "store" / "landing" / "tumors.csv")
        dag = dags[f"{MODEL}.{family}"]
        dag.deadline = None  # the in-memory form of one is more than dag.test() can look up
        run = dag.test(run_conf={"as_of": as_of})
        print(json.dumps({task.task_id: task.state for task in run.get_task_instances()}), flush=True)
