"""docker/compose.yaml against the Compose specification, and against what the services really understand."""

from __future__ import annotations

import inspect
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose
from sqlalchemy import create_engine

from include.registry.signing_keys import private_key
from include.settings import PROJECT, Settings
from tests.docker.locks import DOCKER

FILE = DOCKER / "compose.yaml"
AIRFLOW = ("airflow-init", "airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer")
OURS = (*AIRFLOW, "mlflow", "serving", "exporter")
OTHERS = ("postgres", "prometheus", "grafana")


def interpolated(text: str) -> str:
    """The file with the defaults of its variables in place."""
    done = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
    assert "$" not in done, "a variable has no default, so that one command would not do"
    return done


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The file as Compose sees it: merged, without what is only there to be referred to."""
    whole = yaml.safe_load(interpolated(FILE.read_text(encoding="utf-8")))
    return {key: value for key, value in whole.items() if not key.startswith("x-")}


@pytest.fixture(scope="module")
def services(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["services"]
    return found


def test_it_follows_the_specification(document: dict[str, Any]) -> None:
    compose = PyCompose.from_yaml(yaml.safe_dump(document))
    assert set(compose.service_names()) == {"secrets", *OTHERS, *OURS}
    compose.validate()


@pytest.mark.parametrize(
    ("right", "wrong"), [("cap_drop:", "cap_dropp:"), ("service_healthy", "service_fine"), ("- 127.0.0.1:", "- nine:")]
)
def test_the_check_sees_mistakes(document: dict[str, Any], right: str, wrong: str) -> None:
    text = yaml.safe_dump(document)
    assert right in text
    with pytest.raises(ValueError, match=r"services\."):
        PyCompose.from_yaml(text.replace(right, wrong))


def test_ports_are_published_on_loopback_only(services: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in services.items() if service.get("ports")}
    assert published == {
        "airflow-api-server": ["127.0.0.1:8080:8080"],
        "exporter": ["127.0.0.1:9464:9464"],
        "grafana": ["127.0.0.1:3000:3000"],
        "mlflow": ["127.0.0.1:5000:5000"],
        "prometheus": ["127.0.0.1:9090:9090"],
        "serving": ["127.0.0.1:8090:8090"],
    }


def test_images_have_tags_and_those_of_ours_are_built_here(services: dict[str, Any]) -> None:
    built = {service["image"]: service["build"] for service in services.values() if "build" in service}
    for service in services.values():
        name, _, tag = service["image"].partition(":")
        assert tag not in {"", "latest"}
        assert name.rpartition("/")[2].partition("-")[0] in OTHERS or service["image"] in built
    for image, build in built.items():
        dockerfile = PROJECT / build["dockerfile"]
        assert (FILE.parent / build["context"]).resolve() == PROJECT
        assert dockerfile.is_file()
        variant = build.get("args", {}).get("VARIANT", dockerfile.name.removesuffix(".Dockerfile"))
        assert image.startswith(f"localhost/noria-{variant}:")


@pytest.mark.parametrize("name", OURS)
def test_services_of_ours_are_hardened(services: dict[str, Any], name: str) -> None:
    service = services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "user" not in service, "the image's own user"
    writable = {volume.split(":")[1] for volume in service["volumes"]} | {
        mount.split(":")[0] for mount in service.get("tmpfs", ())
    }
    assert "/scratch" in writable


def test_whatever_keeps_running_is_asked_how_it_is(services: dict[str, Any]) -> None:
    for name, service in services.items():
        once = name in {"secrets", "airflow-init"}
        image = service["image"].rpartition("/")[2].partition(":")[0]
        if "healthcheck" not in service:
            assert (name, image) in {("serving", "noria-serving"), ("airflow-api-server", "noria-airflow-local")}
        else:
            assert service["healthcheck"].get("disable", False) is once


def test_services_wait_for_what_they_need(services: dict[str, Any]) -> None:
    def before(name: str) -> set[str]:
        needs = set(services[name].get("depends_on", {}))
        return needs.union(*(before(other) for other in needs))

    assert before("airflow-scheduler") >= {"secrets", "postgres", "mlflow", "serving", "airflow-init"}
    assert before("mlflow") >= {"secrets", "postgres"}
    for service in services.values():
        for other, how in service.get("depends_on", {}).items():
            ends = other in {"secrets", "airflow-init"}
            assert how["condition"] == ("service_completed_successfully" if ends else "service_healthy")


def test_no_secret_stands_in_the_file(services: dict[str, Any]) -> None:
    for service in services.values():
        for key, value in service.get("environment", {}).items():
            assert not re.search(r"://[^/@]*:[^/@]*@", str(value)), f"{key} holds a password"
            if re.search(r"(PASSWORD|SECRET|KEY|TOKEN)", key):
                assert key.endswith(("_CMD", "_FILE")) or str(value).startswith("/"), "a command or a file"


def test_mlflow_knows_its_arguments(services: dict[str, Any]) -> None:
    from mlflow.cli import cli

    program, command, *options = services["mlflow"]["command"]
    assert program == "mlflow"
    known = {name for parameter in cli.commands[command].params for name in parameter.opts}
    assert {option.partition("=")[0] for option in options} <= known


# ---- secrets --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets")
    _make(folder, tmp_path_factory.mktemp("signing"))
    return folder


def _make(folder: Path, signing: Path) -> None:
    script = str(DOCKER / "compose_secrets.py")
    words = [sys.executable, script, str(folder), str(signing), str(os.getuid())]
    done = subprocess.run(words, capture_output=True, check=True, timeout=30)
    assert done.stdout + done.stderr == b""


def test_secrets_are_made_once_and_for_their_user_only(secrets: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in secrets.iterdir()}
    _make(secrets, tmp_path)
    assert {path.name: path.read_bytes() for path in secrets.iterdir()} == before
    assert len(set(before.values())) == len(before) == 6
    open_to_others = {path.name for path in secrets.iterdir() if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)}
    assert open_to_others == {"postgres-password", "trusted-keys"}, "PostgreSQL reads as a user of its own"


def test_only_the_scheduler_has_the_key_that_signs_and_its_public_half_is_what_is_believed(
    services: dict[str, Any], tmp_path: Path
) -> None:
    having = {name for name, one in services.items() for volume in one.get("volumes", ()) if "signing:" in volume}
    assert having == {"secrets", "airflow-scheduler"}
    named = {name for name, one in services.items() if "NORIA_SIGNING_KEY" in one.get("environment", {})}
    assert named == {"airflow-scheduler"}
    assert {"serving", *AIRFLOW} <= {
        n for n, one in services.items() if "NORIA_TRUSTED_KEYS" in one.get("environment", {})
    }
    (tmp_path / "secrets").mkdir()
    (tmp_path / "signing").mkdir()
    _make(tmp_path / "secrets", tmp_path / "signing")
    variables = {
        "NORIA_SIGNING_KEY": str(tmp_path / "signing" / "key"),
        "NORIA_TRUSTED_KEYS": str(tmp_path / "secrets" / "trusted-keys"),
    }
    assert private_key(Settings.from_environment(variables)) is not None
    assert (tmp_path / "signing" / "key").stat().st_mode & 0o777 == 0o400


def test_every_secret_that_a_service_reads_is_made(services: dict[str, Any], secrets: Path) -> None:
    named = set(re.findall(r"/secrets/([a-z-]+)", FILE.read_text(encoding="utf-8")))
    assert named == {path.name for path in secrets.iterdir()}


def test_drivers_take_the_password_from_the_file(services: dict[str, Any], secrets: Path) -> None:
    import asyncpg

    environment = services["airflow-scheduler"]["environment"]
    password = (secrets / "postgres-password").read_text()
    assert (secrets / "pgpass").read_text() == f"*:*:*:*:{password}\n"
    airflow = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
    for url in (environment["NORIA_DATABASE_URL"], environment[airflow], environment[f"{airflow}_ASYNC"]):
        if "asyncpg" in url:
            assert "passfile" in inspect.signature(asyncpg.connect).parameters
        else:
            engine = create_engine(url)
            assert engine.dialect.create_connect_args(engine.url)[1]["passfile"] == "/secrets/pgpass"


def test_airflow_reads_its_keys_by_command(services: dict[str, Any], secrets: Path) -> None:
    environment = services["airflow-scheduler"]["environment"]
    commands = {key: value.replace("/secrets", str(secrets)) for key, value in environment.items() if "_CMD" in key}
    assert len(commands) == 3
    reading = (
        "from airflow.configuration import conf; from cryptography.fernet import Fernet; "
        "Fernet(conf.get('core', 'fernet_key')); "
        "print(conf.get('api', 'secret_key'), conf.get('api_auth', 'jwt_secret'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", reading],
        env={**os.environ, **commands, "AIRFLOW_HOME": str(secrets.parent / "airflow")},
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert done.stdout.split() == [(secrets / name).read_text() for name in ("session-key", "jwt-key")]
