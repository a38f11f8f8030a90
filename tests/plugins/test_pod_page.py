"""The page of a pod in Airflow's own application: behind its login, from what was kept of the pod."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from include.settings import PROJECT

PROGRAM = PROJECT / "tests" / "plugins" / "pod_page_program.py"


@pytest.mark.database
def test_pages_of_pods_and_model_cards_are_behind_airflows_login_and_show_what_was_kept(
    database_url: str, tmp_path: Path
) -> None:
    pools = tmp_path / "pools.yaml"
    pools.write_text("airflow: {pools: []}")
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        "PYTHONWARNINGS": "ignore",
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database_url,
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "tests" / "plugins"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__API_AUTH__JWT_SECRET": "a-secret-that-is-long-enough-for-tests",
        "NORIA_HOME": str(tmp_path / "home"),
        "NORIA_DATABASE_URL": database_url,
        "KUBECONFIG": str(tmp_path / "absent"),
    }
    output = ""
    for arguments in (["-m", "plugins.settings_loader", "--migrate", str(pools)], [str(PROGRAM)]):
        done = subprocess.run(
            [sys.executable, *arguments], cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        output = done.stdout
    line = next(line for line in output.splitlines() if line.startswith("ANSWERS "))
    answers = json.loads(line.removeprefix("ANSWERS "))
    assert answers["nobody"] == 401
    assert answers["viewer"] == 200
    assert answers["none"] == 404
    assert "no &lt;such&gt; image" in answers["page"], "events are shown, and escaped"
    assert "kubectl -n noria describe pod pod-1" in answers["page"]
    assert "The cluster cannot be asked from here" in answers["away"]
    cards = answers["cards"]
    assert (answers["card of nobody"], cards["none"], cards["odd"]) == (401, 404, [404, 422])
    assert "registered before there were model cards" in cards["without"]["detail"]
    assert "late version 4" in cards["page"]
    assert "Version 4 was never the champion" in cards["page"]
    assert "default-src 'none'" in cards["policy"]
    assert cards["markdown"].startswith("# Model card: late version 4\n")
    assert cards["json"]["life"]["standing"] == "Version 4 was never the champion"
