"""A real cluster for tests: the one of KUBECONFIG, else one that this machine can start."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from include.settings import PROJECT

STARTER = PROJECT.parent / "shared" / "cluster"
KIND_NAME = "noria-test"
NONE = f"""These tests need a Kubernetes cluster, and there is none. Do one of these:
- set KUBECONFIG to the file of a cluster whose nodes have, or can pull, the images;
- put a starter into {os.path.relpath(STARTER, PROJECT)} (`up` prints a kubeconfig's path, `load IMAGE` loads an image);
- install kind (https://kind.sigs.k8s.io) and a container engine."""


class NoCluster(Exception):
    """There is no cluster, and no way to start one here."""


@dataclass(frozen=True)
class Cluster:
    """A running cluster.

    :param kubeconfig: its file.
    :param load: brings an image that was built here to its nodes.
    """

    kubeconfig: Path
    load: Callable[[str], None]


def find_cluster() -> Cluster:
    """The cluster, started if need be.

    :raises NoCluster: if there is none.
    """
    starter = STARTER / "up"
    given = os.environ.get("KUBECONFIG")
    if starter.is_file():
        started = Path(given) if given else Path(_run(str(starter)).splitlines()[-1])
        ours = started.parent == Path(os.environ.get("TEST_CLUSTER_HOME", "/var/tmp/test-cluster"))
        return Cluster(started, _load_by_starter if ours else _present)
    if given:
        return Cluster(Path(given), _present)
    if shutil.which("kind"):
        return Cluster(_kind(), lambda image: _load_into_kind(image))
    raise NoCluster(NONE)


def ensure_base_image() -> None:
    """What all images start from, made here if no registry is reached and the starter can; quick if it is there.

    :raises NoCluster: if the starter cannot make it.
    """
    base = STARTER / "base-image"
    if base.is_file():
        _run(str(base))


def _kind() -> Path:
    if KIND_NAME not in _run("kind", "get", "clusters").split():
        _run("kind", "create", "cluster", "--name", KIND_NAME, "--wait", "120s")
    path = Path(tempfile.mkdtemp(prefix="noria-kind-")) / "kubeconfig"
    path.write_text(_run("kind", "get", "kubeconfig", "--name", KIND_NAME))
    return path


def _load_into_kind(image: str) -> None:
    _run("kind", "load", "docker-image", "--name", KIND_NAME, image)


def _load_by_starter(image: str) -> None:
    _run(str(STARTER / "load"), image)


def _present(image: str) -> None:
    """Whoever names a cluster has brought the images to it: there is no common way to load them."""


def _run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoCluster(f"`{' '.join(words)}` failed:\n{done.stdout}{done.stderr}")
    return done.stdout
