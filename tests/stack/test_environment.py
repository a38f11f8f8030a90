"""What the stack's processes are told: of this machine's own services, or of those in a cluster."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from include.settings import Settings
from include.stack.environment import Stack
from include.stack.instance import new_instance
from include.stack.keys import ensure_keys
from include.stack.services import services

CLUSTER = {
    "NORIA_STEP_MODE": "kubernetes",
    "NORIA_DATABASE_URL": "postgresql+psycopg2://noria:a%2Fword@198.18.78.9:5432/noria?sslmode=require",
    "NORIA_TRACKING_URL": "http://198.18.78.10:5000",
    "NORIA_SERVER_URL": "https://serving.example:443",
    "NORIA_SERVER_TOKEN": "bearer-word",
}


def stack(home: Path, **variables: str) -> Stack:
    return Stack.of(Settings.from_environment({"NORIA_HOME": str(home), **variables}), new_instance({}))


def test_whatever_listens_on_a_port_is_told_loopback(tmp_path: Path) -> None:
    made = stack(tmp_path)
    told = {service.name: " ".join(service.command) for service in services(made)}
    for name in ("mlflow", "server", "exporter"):
        assert "--host 127.0.0.1 --port" in told[name]
    assert made.environment()["AIRFLOW__API__HOST"] == "127.0.0.1"
    for name in ("scheduler", "triggerer"):
        assert told[name].endswith("--skip-serve-logs"), "it would serve its logs to everybody"
    assert "0.0.0.0" not in " ".join([*told.values(), *made.environment().values()])  # noqa: S104 - to refuse it


def connection(environment: dict[str, str], name: str) -> dict[str, object]:
    return dict(json.loads(environment[f"AIRFLOW_CONN_NORIA_{name}"]))


def test_alone_it_has_all_services_and_their_addresses(tmp_path: Path) -> None:
    made = stack(tmp_path, NORIA_DATABASE_URL=CLUSTER["NORIA_DATABASE_URL"])
    assert [service.name for service in services(made)] == [
        *("mlflow", "server", "exporter", "warm-parent", "api-server", "scheduler", "dag-processor", "triggerer"),
        "supervisor",
    ]
    environment = made.environment()
    assert environment["NORIA_STEP_MODE"] == "local"
    assert connection(environment, "DATABASE")["extra"] == {"host": str(made.postgres.socket)}
    assert connection(environment, "SERVER")["port"] == made.instance.ports["server"]
    assert "198.18" not in json.dumps(environment)


@pytest.mark.parametrize(("models", "seconds"), [(1, "30"), (30, "30"), (1000, "1000")])
def test_very_many_definitions_are_parsed_as_often_as_half_a_processor_can(
    tmp_path: Path, models: int, seconds: str
) -> None:
    dags = tmp_path / "dags"
    dags.mkdir()
    for number in range(models):
        (dags / f"model_{number}.py").touch()
    environment = stack(tmp_path, NORIA_DAGS=str(dags)).environment()
    assert environment["AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL"] == seconds


def test_openlineage_is_told_nothing_unless_the_caller_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENLINEAGE_URL", "http://198.18.0.1")
    before = {name: value for name, value in stack(tmp_path).environment().items() if "OPENLINEAGE" in name}
    assert before == {"AIRFLOW__OPENLINEAGE__NAMESPACE": "noria"}
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__TRANSPORT", '{"type": "console"}')
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__NAMESPACE", "mine")
    after = stack(tmp_path).environment()
    assert after["AIRFLOW__OPENLINEAGE__TRANSPORT"] == '{"type": "console"}'
    assert after["AIRFLOW__OPENLINEAGE__NAMESPACE"] == "mine"


def test_with_a_cluster_it_runs_airflow_and_leads_to_the_clusters_services(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/home/ana/cluster")
    monkeypatch.setenv("AIRFLOW_CONN_NORIA_KUBERNETES", "{}")
    made = stack(tmp_path, **CLUSTER)
    assert [service.name for service in services(made)] == [
        *("warm-parent", "api-server", "scheduler", "dag-processor", "triggerer", "supervisor")
    ]
    environment = made.environment()
    assert {name: environment[name] for name in CLUSTER} == CLUSTER
    assert environment["KUBECONFIG"] == "/home/ana/cluster"
    assert environment["AIRFLOW_CONN_NORIA_KUBERNETES"] == "{}"
    database = connection(environment, "DATABASE")
    assert (database["host"], database["port"], database["schema"]) == ("198.18.78.9", 5432, "noria")
    assert (database["login"], database["password"]) == ("noria", "a/word")
    assert database["extra"] == {"sslmode": "require"}
    server = connection(environment, "SERVER")
    assert (server["schema"], server["host"], server["port"]) == ("https", "serving.example", 443)
    assert server["password"] == "bearer-word"
    assert made.postgres.url("airflow") == environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]


def test_only_who_runs_tasks_and_who_starts_that_again_is_told_where_the_signing_key_is(tmp_path: Path) -> None:
    made = stack(tmp_path)
    found = {service.name: service.environment for service in services(made)}
    assert [name for name, environment in found.items() if "NORIA_SIGNING_KEY" in environment] == [
        "scheduler",
        "supervisor",
    ]
    trusted = str(tmp_path / "signing" / "trusted.pem")
    assert {environment["NORIA_TRUSTED_KEYS"] for environment in found.values()} == {trusted}


def test_keys_that_are_named_are_taken_and_a_clusters_are_never_made_here(tmp_path: Path) -> None:
    named = stack(tmp_path, NORIA_TRUSTED_KEYS="/etc/noria/trusted.pem")
    assert (named.settings.signing_key, named.settings.trusted_keys) == (None, "/etc/noria/trusted.pem")
    in_cluster = stack(tmp_path, **CLUSTER)
    for made in (named, in_cluster):
        ensure_keys(made.settings)
        assert "NORIA_SIGNING_KEY" not in made.environment()
    assert "NORIA_TRUSTED_KEYS" not in in_cluster.environment()
    assert not (tmp_path / "signing").exists()


@pytest.mark.parametrize("mode", ["local", "kubernetes"])
def test_no_library_reports_home(tmp_path: Path, mode: str) -> None:
    environment = stack(tmp_path, **{**CLUSTER, "NORIA_STEP_MODE": mode}).environment()
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == environment["DO_NOT_TRACK"] == "true"
    assert environment["GX_ANALYTICS_ENABLED"] == "false"


@pytest.mark.parametrize("variables", [{}, CLUSTER], ids=["alone", "with a cluster"])
def test_the_supervisor_starts_each_service_in_the_environment_that_a_person_started_it_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/home/ana/cluster")
    monkeypatch.setenv("AIRFLOW_CONN_NORIA_KUBERNETES", "{}")
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__TRANSPORT", '{"type": "console"}')
    made = stack(tmp_path, **variables)
    told = {service.name: service for service in services(made)}
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in told["supervisor"].environment.items():
        monkeypatch.setenv(name, value)
    again = Stack.of(Settings.from_environment(), made.instance)
    assert [(one.name, one.command, one.environment) for one in services(again)] == [
        (one.name, one.command, one.environment) for one in told.values()
    ]
