"""The operator of the DAG ``noria_retirements``: it frees what no audit needs of models that are retired for good."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from include.errors import Refused
from include.settings import PROJECT
from plugins.operators.environment import child_environment, connection_variables

if TYPE_CHECKING:
    from airflow.sdk import Context


class FreeRetiredOperator(BaseOperator):
    """Frees each in a process of its own, so that the store's libraries never enter Airflow's."""

    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002 - Airflow's own signature
        """Return what was freed, by model."""
        done = subprocess.run(
            [sys.executable, "-m", "include.retirement", "free", "--actor", f"airflow:{self.dag_id}"],
            cwd=PROJECT,
            env=child_environment() | connection_variables(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        for line in done.stderr.splitlines():
            self.log.info("%s", line)
        if done.returncode == Refused.exit_code:
            raise AirflowFailException(done.stderr.strip()[-2000:])
        if done.returncode != 0:
            raise AirflowException(done.stderr.strip()[-2000:])
        freed: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return freed
