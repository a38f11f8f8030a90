"""Tests on a real cluster. Without one they do not pass silently: pytest ends with a message and an error."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from include.stack.postgres import Postgres
from tests.kubernetes.cluster import Cluster, NoCluster, ensure_base_image, find_cluster
from tests.kubernetes.kubectl import Kubectl, bring, build, build_postgres
from tests.kubernetes.probe import build_probe
from tests.kubernetes.stage import Stage, environment, migrate, wait_for


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster; whoever asks for tests that need one, and has none, is told so by a failure."""
    try:
        found = find_cluster()
        ensure_base_image()
    except NoCluster as error:
        pytest.exit(str(error), returncode=2)
    return found


@pytest.fixture(scope="session")
def core(cluster: Cluster) -> Any:
    """A client of the cluster's core API, as its administrator."""
    from kubernetes import client, config

    return client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig)))


@pytest.fixture(scope="session")
def kubectl(cluster: Cluster) -> Kubectl:
    """kubectl on the cluster, as its administrator."""
    return Kubectl(str(cluster.kubeconfig))


@pytest.fixture(scope="session")
def steps_image(cluster: Cluster) -> str:
    """Name of the steps' image, which is on the cluster."""
    return build(cluster, "steps")


@pytest.fixture(scope="session")
def serving_image(cluster: Cluster) -> str:
    """Name of the inference server's image, which is on the cluster."""
    return build(cluster, "serving")


@pytest.fixture(scope="session")
def airflow_image(cluster: Cluster) -> str:
    """Name of Airflow's image, which is on the cluster."""
    return build(cluster, "airflow")


@pytest.fixture(scope="session")
def postgres_image(cluster: Cluster) -> str:
    """Name of an image of PostgreSQL, built here, which is on the cluster."""
    return bring(cluster, build_postgres())


@pytest.fixture(scope="module")
def namespace(core: Any) -> Iterator[str]:
    """A namespace of the module's own, deleted at its end with all that is in it."""
    name = f"noria-test-{uuid.uuid4().hex[:8]}"
    core.create_namespace({"metadata": {"name": name}})

    def has_account() -> bool:
        return bool(core.list_namespaced_service_account(name).items)

    # No pod is let in without it; a controller that has lost its API server takes its time to make it.
    wait_for(has_account, 150, f"the service account of {name}")
    yield name
    core.delete_namespace(name)


@pytest.fixture(scope="session")
def probe_image(cluster: Cluster) -> str:
    """The image of the step ``probe``, on the cluster's nodes."""
    return build_probe(cluster)


@pytest.fixture(scope="module")
def stage(
    cluster: Cluster,
    core: Any,
    namespace: str,
    probe_image: str,
    postgres: Postgres,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stage]:
    """Where steps are played in pods, with a metadata database of its own; at its end no pod is left."""
    folder = tmp_path_factory.mktemp("stage")
    database = f"pods_{uuid.uuid4().hex[:8]}"
    postgres.create_database(database)
    variables = environment(cluster.kubeconfig, postgres.url(database), folder)
    migrate(variables, folder)
    played = Stage(core, namespace, folder, variables)
    yield played
    played.close()
    postgres.drop_database(database)
