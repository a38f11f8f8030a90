"""`make run`: the flagship's whole life in a running Airflow, once cold and once again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import requests

from tests.e2e import scraped
from tests.e2e.line import Document, Line
from tests.prometheus import needs_prometheus, running_prometheus

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def first(line: Line) -> tuple[subprocess.CompletedProcess[str], Document]:
    """The first run."""
    done = line.command("run", "--model", "flight_delay")
    assert done.returncode == 0, done.stdout + done.stderr
    return done, line.summary("flight_delay")


def test_run_ends_with_a_served_model_and_a_summary(
    line: Line, first: tuple[subprocess.CompletedProcess[str], Document]
) -> None:
    done, summary = first
    assert summary["decision"]["promote"] is True
    assert summary["deployment"]["promote"]["version"] == summary["version"] == summary["served"]["version"] == 2
    stages = summary["deployment"]["stages"]
    assert {name: stage["verdict"] for name, stage in stages.items()} == dict.fromkeys(
        ["shadow", "canary_10", "canary_50"], "advance"
    )
    assert summary["data"]["features"]["partitions"] > 100
    assert {gate["verdict"] for gate in summary["gates"].values()} == {"passed"}
    assert summary["evaluation"]["challenger"]["roc_auc"]["low"] > 0.6
    assert summary["monitoring"]["features"]
    for heading in (
        "Data",
        "Gates",
        "Metrics on the holdout",
        "Decision: promote",
        "Drift:",
        "Quality:",
        "Seconds",
        "Pages",
    ):
        assert heading in done.stdout
    answer = requests.get(f"{line.settings.server_url}/models/flight_delay", timeout=10).json()
    assert answer["version"] == summary["version"]


def test_a_second_run_does_nothing_twice(line: Line, first: tuple[subprocess.CompletedProcess[str], Document]) -> None:
    counts = _counts(line)
    done = line.command("run", "--model", "flight_delay")
    assert done.returncode == 0, done.stdout + done.stderr
    before, after = first[1], line.summary("flight_delay")
    assert after["training"]["reused"] is True
    assert after["version"] == before["version"]
    assert after["decision"]["promote"] is False
    assert "already" in after["decision"]["reason"]
    assert after["data"]["raw"]["version"] == before["data"]["raw"]["version"]
    assert _counts(line) == counts


@needs_prometheus
def test_prometheus_sees_all_that_rules_and_dashboards_ask_for(
    line: Line, first: tuple[subprocess.CompletedProcess[str], Document], tmp_path: Path
) -> None:
    predict = f"{line.settings.server_url}/models/flight_delay/predict"
    assert requests.post(predict, json={"rows": [{"carrier": 3}]}, timeout=10).status_code in {400, 422}
    with running_prometheus(tmp_path, scraped.targets(line)) as server:
        scraped.wait_for_scrapes(server)
        assert {one["value"][1] for one in server.series("noria_source_up")} == {"1"}
        scraped.check_names(server)
        scraped.check_panels(server)
        scraped.check_rules(server)
        role = 'noria_deployment_version{model="flight_delay", role="champion"}'
        assert [one["value"][1] for one in server.series(role)] == [str(first[1]["version"])]
        assert {"NoriaServerAway", "NoriaExporterAway", "NoriaSourceAway"} & scraped.firing(server) == set()


def _counts(line: Line) -> list[Document]:
    tables = ("model_version", "deployment_ledger")
    return [line.rows(f"SELECT count(*) AS {table} FROM {table} WHERE model = 'flight_delay'")[0] for table in tables]


def test_the_model_predicts_the_same_under_mlflow_models_serve_without_this_repository(
    line: Line, first: tuple[subprocess.CompletedProcess[str], Document], tmp_path: Path
) -> None:
    model = f"models:/flight_delay/{first[1]['version']}"
    rows_file = line.settings.store / first[1]["training_set"]["directory"] / "holdout_inputs.parquet"
    rows = pq.read_table(rows_file).slice(0, 200).to_pylist()
    rows = [{k: v.isoformat() if hasattr(v, "isoformat") else v for k, v in row.items()} for row in rows]
    address = f"{line.settings.server_url}/models/flight_delay/predict"
    ours = requests.post(address, json={"rows": rows}, timeout=30).json()["predictions"]
    theirs = _serve_with_mlflow(line, model, rows, tmp_path)
    assert [answer["prediction"] for answer in theirs] == ours


def _serve_with_mlflow(line: Line, model: str, rows: list[Document], folder: Path) -> list[Document]:
    """Predictions of ``mlflow models predict``'s scoring server in an environment made from the model's own list."""
    python = folder / "venv" / "bin" / "python"
    uv = Path(sys.executable).parent / "uv"
    environment = {**line.stack.environment(), "MLFLOW_TRACKING_URI": line.settings.tracking_url}
    environment.pop("PYTHONPATH")
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, folder / "venv"], check=True)
    requirements = folder / "requirements.txt"
    download = (
        "import mlflow.artifacts as a, shutil, sys; "
        "shutil.copy(a.download_artifacts(sys.argv[1] + '/requirements.txt'), sys.argv[2])"
    )
    subprocess.run([sys.executable, "-c", download, model, requirements], env=environment, check=True, cwd=folder)
    install = [uv, "pip", "install", "-q", "--system-certs", "--python", python, "-r", requirements]
    constraints = ["-c", Path(__file__).parents[2] / "requirements.lock"]
    subprocess.run([*install, *constraints], check=True)
    return _answers(python, model, rows, environment, folder)


def _answers(
    python: Path, model: str, rows: list[Document], environment: dict[str, str], folder: Path
) -> list[Document]:
    from include.stack.instance import is_free
    from tests.e2e.line import wait

    port = next(port for port in range(15100, 15200) if is_free(port))
    command = [python, "-m", "mlflow", "models", "serve", "-m", model, "-p", str(port), "-h", "127.0.0.1"]
    with (folder / "serve.log").open("w") as log:
        server = subprocess.Popen(
            [*command, "--env-manager", "local"],
            env={**environment, "PATH": f"{python.parent}:{environment['PATH']}"},
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        wait(lambda: _pings(address), 90, "mlflow models serve did not start")
        body = json.dumps({"dataframe_records": rows})
        headers = {"Content-Type": "application/json"}
        answer = requests.post(f"{address}/invocations", data=body, headers=headers, timeout=60)
        assert answer.ok, answer.text
        return list(answer.json()["predictions"])
    finally:
        _end_session(server)


def _pings(address: str) -> bool:
    try:
        return requests.get(f"{address}/ping", timeout=2).ok
    except requests.RequestException:
        return False


def _end_session(server: subprocess.Popen[bytes]) -> None:
    import os
    import signal

    os.killpg(server.pid, signal.SIGKILL)
    server.wait()
