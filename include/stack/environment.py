"""The environment of the stack's processes: one place for every setting of Airflow and MLflow."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy.engine import make_url

from include.settings import PROJECT, SIGNING_KEY, TRUSTED_KEYS, Settings, connection_variable
from include.stack.instance import Instance
from include.stack.keys import with_keys
from include.stack.postgres import Postgres
from include.steps.environment import QUIET

# Taken over from whoever starts the stack; all else is set below, so that a stray variable changes nothing.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER", "SSL_CERT_FILE", "TERM")
# The same with a cluster: where it is, and what Airflow is to know of it.
_INHERITED_OF_A_CLUSTER = ("KUBECONFIG", "AIRFLOW_CONN_NORIA_KUBERNETES")

# Airflow's own section for OpenLineage, which is off unless it names where events go; also taken over.
_OPENLINEAGE = "AIRFLOW__OPENLINEAGE__"

WAREHOUSE = "warehouse"
WAREHOUSE_CONNECTION = "noria_warehouse"
"""The database of the stack's own PostgreSQL that models may read by SQL, and its connection."""


@dataclass(frozen=True)
class Stack:
    """The local stack: its settings with the real addresses, its PostgreSQL, its environment."""

    settings: Settings
    instance: Instance
    postgres: Postgres

    @classmethod
    def of(cls, settings: Settings, instance: Instance) -> Stack:
        """Put the instance's addresses into the settings."""
        postgres = Postgres.for_instance(settings.home, instance.name)
        if settings.step_mode == "kubernetes":
            return cls(settings=settings, instance=instance, postgres=postgres)
        located = replace(
            with_keys(settings),
            database_url=postgres.url("noria"),
            tracking_url=f"http://127.0.0.1:{instance.ports['mlflow']}",
            server_url=f"http://127.0.0.1:{instance.ports['server']}",
            connections=_with_warehouse(settings, postgres.url(WAREHOUSE)),
        )
        return cls(settings=located, instance=instance, postgres=postgres)

    @property
    def in_pods(self) -> bool:
        """Whether heavy steps run in a cluster, which then has Noria's database, MLflow and the server as well.

        Their addresses are in the settings; only Airflow with its own database runs here.
        """
        return self.settings.step_mode == "kubernetes"

    @property
    def airflow_url(self) -> str:
        """Address of Airflow's UI and REST API."""
        return f"http://127.0.0.1:{self.instance.ports['airflow']}"

    @property
    def exporter_url(self) -> str:
        """Address of the exporter of metrics; in a cluster another one has that."""
        return f"http://127.0.0.1:{self.instance.ports['exporter']}"

    @property
    def logs(self) -> Path:
        """Folder of the services' logs."""
        return self.settings.home / "logs"

    def environment(self) -> dict[str, str]:
        """Variables for every process of the stack."""
        names = (*_INHERITED, *(_INHERITED_OF_A_CLUSTER if self.in_pods else ()))
        inherited = {name: os.environ[name] for name in names if name in os.environ}
        return {**inherited, **self._noria(), **self._airflow(), **self._libraries()}

    def _noria(self) -> dict[str, str]:
        settings = self.settings
        return {
            "NORIA_HOME": str(settings.home),
            **settings.store_environment,
            "NORIA_MODELS": str(settings.models),
            "NORIA_DAGS": str(settings.dags),
            "NORIA_EXPECTATIONS": str(settings.expectations),
            "NORIA_DATABASE_URL": settings.database_url,
            "NORIA_TRACKING_URL": settings.tracking_url,
            "NORIA_SERVER_URL": settings.server_url,
            "NORIA_STEP_MODE": settings.step_mode,
            **({"NORIA_SERVER_TOKEN": settings.server_token} if settings.server_token else {}),
            **({SIGNING_KEY: settings.signing_key} if settings.signing_key else {}),
            **({TRUSTED_KEYS: settings.trusted_keys} if settings.trusted_keys else {}),
            **{connection_variable(name): url for name, url in settings.connections},
        }

    def _libraries(self) -> dict[str, str]:
        return {
            "PYTHONPATH": str(PROJECT),
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "ignore",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            **QUIET,
        }

    def _airflow(self) -> dict[str, str]:
        home = self.settings.home / "airflow"
        sections = {
            "CORE": {
                "DAGS_FOLDER": str(self.settings.dags),
                "PLUGINS_FOLDER": str(PROJECT / "plugins"),
                "LOAD_EXAMPLES": "False",
                "EXECUTOR": "LocalExecutor",
                "PARALLELISM": "4",
                "MAX_ACTIVE_TASKS_PER_DAG": "4",
                "DAGS_ARE_PAUSED_AT_CREATION": "False",
                "EXECUTION_API_SERVER_URL": f"{self.airflow_url}/execution/",
                # By default a DAG written in the last 30 s is left alone: of two edits in a row the second would wait
                # for the file's next parse, which with a thousand models is 17 minutes away.
                "MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
                "SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
                "FERNET_KEY": self.instance.secrets["fernet"],
            },
            "DATABASE": {
                "SQL_ALCHEMY_CONN": self.postgres.url("airflow"),
                "SQL_ALCHEMY_CONN_ASYNC": self.postgres.url("airflow", driver="postgresql+asyncpg"),
            },
            "API": {
                "HOST": "127.0.0.1",
                "PORT": str(self.instance.ports["airflow"]),
                "BASE_URL": self.airflow_url,
                "WORKERS": "1",
                "SECRET_KEY": self.instance.secrets["session"],
            },
            "API_AUTH": {"JWT_SECRET": self.instance.secrets["jwt"]},
            "SCHEDULER": {
                # A chain of short tasks waits here (default 1 s), but a scheduler that is always awake takes a third
                # of a processor from the steps: on two, 0.3 s made a whole life a tenth faster than 0.1 s.
                "SCHEDULER_IDLE_SLEEP_TIME": "0.3",
                # After a kill -9 the task of a dead process is noticed within half a minute, not five.
                "TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
                "TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
                "ORPHANED_TASKS_CHECK_INTERVAL": "10",
            },
            # An ended task is noticed within this time (default 5 s), which a chain of short tasks would pay each time.
            "WORKERS": {"MIN_HEARTBEAT_INTERVAL": "1"},
            "DAG_PROCESSOR": {
                "MIN_FILE_PROCESS_INTERVAL": str(_parse_interval(self.settings.dags)),
                "REFRESH_INTERVAL": "15",
                "PARSING_PROCESSES": "2",
            },
            "LOGGING": {"BASE_LOG_FOLDER": str(home / "logs")},
            "USAGE_DATA_COLLECTION": {"ENABLED": "False"},
        }
        flat = {
            f"AIRFLOW__{section}__{key}": value for section, keys in sections.items() for key, value in keys.items()
        }
        lineage = {name: value for name, value in os.environ.items() if name.startswith(_OPENLINEAGE)}
        return {
            "AIRFLOW_HOME": str(home),
            **flat,
            f"{_OPENLINEAGE}NAMESPACE": "noria",
            **lineage,
            **self._connections(),
        }

    def _connections(self) -> dict[str, str]:
        """The real addresses, in front of the defaults in airflow_settings.yaml."""
        settings = self.settings
        connections = {
            "NORIA_DATABASE": self._database(),
            **({} if self.in_pods else {WAREHOUSE_CONNECTION.upper(): self._socket(WAREHOUSE)}),
            "NORIA_MLFLOW": _http(settings.tracking_url),
            "NORIA_SERVER": {**_http(settings.server_url), "password": settings.server_token},
        }
        return {f"AIRFLOW_CONN_{name}": json.dumps(value) for name, value in connections.items()}

    def _socket(self, database: str) -> dict[str, object]:
        extra = {"host": str(self.postgres.socket)}
        return {"conn_type": "postgres", "login": "postgres", "schema": database, "extra": extra}

    def _database(self) -> dict[str, object]:
        if not self.in_pods:
            return self._socket("noria")
        url = make_url(self.settings.database_url)
        return {
            "conn_type": "postgres",
            "host": url.host,
            "port": url.port,
            "login": url.username,
            "password": url.password,
            "schema": url.database,
            "extra": dict(url.query),
        }


def _with_warehouse(settings: Settings, url: str) -> tuple[tuple[str, str], ...]:
    """The connections that are known, and the stack's own database for data that a model reads by SQL."""
    return tuple(sorted({**dict(settings.connections), WAREHOUSE_CONNECTION: url}.items()))


def _http(url: str) -> dict[str, object]:
    parts = urlsplit(url)
    return {"conn_type": "http", "schema": parts.scheme, "host": parts.hostname, "port": parts.port}


def _parse_interval(dags: Path) -> int:
    """Seconds after which a DAG file is parsed anew.

    A model's file costs about half a second of processor time, its process and its rows included
    (``make bench-definitions``): however many there are, about half a processor is to do for them.
    """
    return max(30, len(list(dags.glob("*.py"))))
