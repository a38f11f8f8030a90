"""kubectl as the tests use it, and the environment that the overlay for old clusters makes in namespaces of its own."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.settings import PROJECT, Settings
from include.stack.images import PREFIX, build_images, find_builder
from tests.kubernetes.cluster import Cluster

KUBERNETES = PROJECT / "docker" / "kubernetes"
OVERLAY = KUBERNETES / "overlays" / "kubernetes-1.20"
POSTGRES_IMAGE = "localhost/noria-postgres:test"
_PLACEHOLDER = "noria-local"


@dataclass(frozen=True)
class Kubectl:
    """Calls of kubectl on one cluster.

    :param kubeconfig: its kubeconfig.
    """

    kubeconfig: str

    def __call__(self, *words: str, given: str | None = None, check: bool = True) -> str:
        """Its standard output; fails with what it says on standard error."""
        done = self.run(*words, given=given)
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(words)} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def run(self, *words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        """The call as it ended."""
        command = ["kubectl", "--kubeconfig", self.kubeconfig, *words]
        return subprocess.run(command, input=given, capture_output=True, text=True, timeout=300, check=False)

    def get(self, *words: str) -> dict[str, Any]:
        """An object, or a list of them, as JSON."""
        found: dict[str, Any] = json.loads(self("get", *words, "--output", "json"))
        return found

    def secret(self, namespace: str, name: str, key: str) -> str:
        """A value of a Secret."""
        return base64.b64decode(self.get("secret", name, "--namespace", namespace)["data"][key]).decode()


def until(condition: Callable[[], bool], seconds: float, what: str, pause: float = 0.2) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"after {seconds:.0f} s: {what}"
        time.sleep(pause)


@dataclass(frozen=True)
class Environment:
    """PostgreSQL, MLflow and the inference server in a cluster, the steps' and Airflow's namespaces beside them.

    :param name: namespace of the services; the others are ``<name>-steps`` and ``<name>-airflow``.
    :param folder: on the machine, which is the node: the store, the replicas' homes, PostgreSQL's data.
    """

    kubectl: Kubectl
    name: str
    folder: Path

    @property
    def steps(self) -> str:
        """Namespace of the step pods."""
        return f"{self.name}-steps"

    def address(self, service: str) -> str:
        """A Service's address, which the machine reaches too."""
        return str(self.kubectl.get("service", service, "--namespace", self.name)["spec"]["clusterIP"])

    def replicas(self) -> dict[str, dict[str, Any]]:
        """The server's pods by name."""
        selector = "app.kubernetes.io/name=noria-serving"
        found = self.kubectl.get("pods", "--namespace", self.name, "--selector", selector)
        return {pod["metadata"]["name"]: pod for pod in found["items"]}

    def token(self) -> str:
        """The server's admin token."""
        return self.kubectl.secret(self.name, "noria-serving", "admin_token")

    def settings(self, home: Path) -> Settings:
        """How a process on the machine reaches everything."""
        password = self.kubectl.secret(self.name, "noria-postgres", "noria")
        return Settings.from_environment({
            "NORIA_HOME": str(home),
            "NORIA_STORE": str(self.folder / "store"),
            "NORIA_DATABASE_URL": f"postgresql+psycopg2://noria:{password}@{self.address('noria-postgres')}:5432/noria",
            "NORIA_TRACKING_URL": f"http://{self.address('noria-mlflow')}:5000",
            "NORIA_SERVER_URL": f"http://{self.address('noria-serving')}:8090",
            "NORIA_SERVER_TOKEN": self.token(),
            "NORIA_SIGNING_KEY": self.kubectl.secret(f"{self.name}-airflow", "noria-signing", "signing.pem"),
            "NORIA_TRUSTED_KEYS": self.kubectl.secret(self.name, "noria-trusted-keys", "NORIA_TRUSTED_KEYS"),
        })  # fmt: skip

    def wait(self) -> None:
        """Until everything runs and is ready."""
        for workload in ("statefulset/noria-postgres", "deployment/noria-mlflow", "statefulset/noria-serving"):
            self.kubectl("rollout", "status", workload, "--namespace", self.name, "--timeout", "240s")


def manifests(name: str) -> str:
    """The overlay for old clusters, in namespaces and folders of another name."""
    command = ["kubectl", "kustomize", str(OVERLAY)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert _PLACEHOLDER in text
    return text.replace(_PLACEHOLDER, name)


@contextmanager
def namespaces(kubectl: Kubectl, purpose: str) -> Iterator[Environment]:
    """A name that nobody has, with its folders; everything of it is removed at the end."""
    name = f"noria-{purpose}-{secrets.token_hex(3)}"
    folder = Path("/var/tmp") / name  # as the overlay says
    try:
        for part in ("store", "home", "postgres"):
            (folder / part).mkdir(parents=True)
            (folder / part).chmod(0o777)
        yield Environment(kubectl, name, folder)
    finally:
        wanted = [f"namespace/{name}{part}" for part in ("", "-steps", "-airflow")]
        volumes = [f"persistentvolume/{name}-store", f"persistentvolume/{name}-steps-store"]
        kubectl("delete", "--ignore-not-found", "--wait=false", *wanted, *volumes)
        for namespace in (
            name,
            f"{name}-steps",
        ):  # without the time that they have to end in order; what lasts may last
            kubectl.run("delete", "pods", "--all", "--namespace", namespace, "--grace-period", "1", "--timeout", "20s")
        shutil.rmtree(folder, ignore_errors=True)


def make_secrets(environment: Environment) -> str:
    """Run the project's own script; returns what it prints."""
    addresses = [
        *("--database-host", environment.address("noria-postgres")),
        *("--mlflow-host", environment.address("noria-mlflow")),
        *("--server-host", environment.address("noria-serving")),
    ]
    command = [str(KUBERNETES / "secrets.sh"), environment.name, *addresses]
    variables = {**os.environ, "KUBECONFIG": environment.kubectl.kubeconfig}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def build_postgres() -> str:
    """The image of PostgreSQL that needs no registry."""
    words = [*find_builder().command, "--tag", POSTGRES_IMAGE, str(KUBERNETES / "postgres")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return POSTGRES_IMAGE


def build(cluster: Cluster, image: str) -> str:
    """One of the project's images as it is now, on the cluster's node. Returns its name."""
    with tempfile.TemporaryDirectory() as bills:
        names = build_images(
            (image,), tag="test", prefix=PREFIX, builder=find_builder(), more=(), bills=Path(bills), say=print
        )
    return bring(cluster, names[0])


def bring(cluster: Cluster, image: str) -> str:
    """An image that was built here, on the cluster's node; not loaded again while it is the same. Returns its name."""
    nodes = Kubectl(str(cluster.kubeconfig)).get("nodes")["items"]
    there = {name for node in nodes for one in node["status"]["images"] for name in one["names"] or ()}
    found = subprocess.run(
        [find_builder().name, "images", "--no-trunc", "--quiet", image], capture_output=True, text=True, check=False
    )
    identity = found.stdout.strip().rpartition(":")[2]
    assert identity or image in there, f"there is no image {image}"
    stamp = Path(tempfile.gettempdir(), f"noria-loaded-{identity}")
    if identity and (image not in there or not stamp.exists()):
        cluster.load(image)
        stamp.touch()
    return image
