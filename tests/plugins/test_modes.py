"""Where a step runs: by configuration and definition; and what each way may import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from include.settings import PROJECT
from include.steps.catalog import LIGHT
from plugins.operators.step import StepOperator

# Airflow itself imports the provider's exceptions, which cost nothing.
PROVIDER = "airflow.providers.cncf.kubernetes"
HEAVY = ("kubernetes", "plugins.operators.pods", *(f"{PROVIDER}.{part}" for part in ("hooks", "operators", "triggers")))
LOADED = f"""
import sys
from dags.families import build_dags
import plugins.noria_plugin
from plugins.operators import local
dags = build_dags("flight_delay")
found = sorted(name for name in {HEAVY} if name in sys.modules)
steps = [task for dag in dags.values() for task in dag.tasks if task.task_type == "StepOperator"]
links = {{link.name for task in steps for link in task.operator_extra_links}}
print("FOUND", found, sorted(links))
"""


def loaded(mode: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "PYTHONWARNINGS": "ignore", "NORIA_STEP_MODE": mode}
    done = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return next(line for line in done.stdout.splitlines() if line.startswith("FOUND"))


def test_local_mode_never_imports_the_provider_or_the_kubernetes_package() -> None:
    assert loaded("local") == "FOUND [] ['MLflow run', 'Report']"


def test_pod_mode_is_preloaded_in_airflows_processes_and_links_to_the_pod() -> None:
    assert loaded("kubernetes") == f"FOUND {sorted(HEAVY)} ['MLflow run', 'Pod', 'Report']"


def mode(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, step: str, pods: str = "") -> str:
    text = (PROJECT / "include" / "models" / "flight_delay.yaml").read_text()
    (tmp_path / "flight_delay.yaml").write_text(f"{text}\npods: {{{pods}}}\n")
    monkeypatch.setenv("NORIA_MODELS", str(tmp_path))
    return StepOperator(task_id="t", model="flight_delay", step=step, as_of="x")._mode()


def test_light_steps_stay_beside_airflow_and_all_others_get_a_pod(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NORIA_STEP_MODE", "kubernetes")
    assert {mode(monkeypatch, tmp_path, step) for step in LIGHT} == {"local"}
    heavy = ("ingest", "gate", "publish", "prepare", "assemble", "train", "evaluate", "score", "monitor", "verify")
    assert {mode(monkeypatch, tmp_path, step) for step in heavy} == {"kubernetes"}


def test_a_definition_moves_a_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NORIA_STEP_MODE", "kubernetes")
    pods = "steps: {decide: {place: pod}, gate: {place: airflow}}"
    assert mode(monkeypatch, tmp_path, "decide", pods) == "kubernetes"
    assert mode(monkeypatch, tmp_path, "gate", pods) == "local"
    assert mode(monkeypatch, tmp_path, "decide", "default: {place: pod}") == "kubernetes"


def test_in_local_mode_no_definition_leads_to_a_pod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NORIA_STEP_MODE", raising=False)
    assert mode(monkeypatch, tmp_path, "train", "default: {place: pod}") == "local"
