"""What Airflow's accounts may do in a real cluster: run step pods in the steps' namespace, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import yaml

from tests.kubernetes.kubectl import Environment, Kubectl, manifests, namespaces, until

ACCOUNTS = ("airflow-scheduler", "airflow-triggerer")
ALLOWED = {
    ("create", "pods"), ("get", "pods"), ("list", "pods"), ("patch", "pods"), ("delete", "pods"),
    ("get", "pods/log"), ("get", "pods/exec"), ("create", "pods/exec"), ("list", "events"),
}  # fmt: skip
pytestmark = pytest.mark.kubernetes


@pytest.fixture(scope="module")
def environment(kubectl: Kubectl) -> Iterator[Environment]:
    """The namespaces, accounts and rights of the overlay; nothing of it runs."""
    with namespaces(kubectl, "access") as made:
        kinds = {"Namespace", "ServiceAccount", "Role", "RoleBinding"}
        wanted = [one for one in yaml.safe_load_all(manifests(made.name)) if one["kind"] in kinds]
        kubectl("apply", "--filename", "-", given=yaml.safe_dump_all(wanted))
        for namespace in (made.name, made.steps):
            kubectl("create", "secret", "generic", "others", "--namespace", namespace, "--from-literal", "word=hidden")
        yield made


def who(environment: Environment, account: str) -> str:
    return f"system:serviceaccount:{environment.name}-airflow:{account}"


def rights_in(environment: Environment, account: str, namespace: str) -> set[tuple[str, str]]:
    """Every right of an account in a namespace, as the cluster itself counts them, but for those that everybody has."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    asked = ("create", "--as", who(environment, account), "--filename", "-", "--output", "json")
    status = json.loads(environment.kubectl(*asked, given=json.dumps(review)))["status"]
    assert not status["incomplete"]
    return {
        (verb, f"{resource}.{group}" if group else resource)
        for rule in status["resourceRules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        if group not in {"authorization.k8s.io", "authentication.k8s.io"}  # what every account may ask of itself
    }


def can_i(environment: Environment, account: str, *words: str) -> bool:
    done = environment.kubectl.run("auth", "can-i", *words, "--as", who(environment, account))
    assert done.stdout.strip() in {"yes", "no"}, done.stderr
    return done.stdout.strip() == "yes"


@pytest.mark.parametrize("account", ACCOUNTS)
def test_rights_in_the_steps_namespace_are_exactly_those_on_step_pods(environment: Environment, account: str) -> None:
    assert rights_in(environment, account, environment.steps) == ALLOWED


@pytest.mark.parametrize("account", ACCOUNTS)
def test_there_are_no_rights_anywhere_else(environment: Environment, account: str) -> None:
    others = {item["metadata"]["name"] for item in environment.kubectl.get("namespaces")["items"]} - {environment.steps}
    assert {environment.name, f"{environment.name}-airflow", "kube-system", "default"} <= others
    for namespace in others:
        assert rights_in(environment, account, namespace) == set(), namespace


@pytest.mark.parametrize("account", ACCOUNTS)
def test_no_secret_can_be_read_and_no_other_namespace_touched(environment: Environment, account: str) -> None:
    assert can_i(environment, account, "create", "pods", "--namespace", environment.steps), "the question is well put"
    for namespace in (environment.steps, environment.name, "kube-system"):
        for verb in ("get", "list", "watch"):
            assert not can_i(environment, account, verb, "secrets", "--namespace", namespace)
    for namespace in (environment.name, f"{environment.name}-airflow", "default"):
        for verb in ("create", "get", "list", "delete"):
            assert not can_i(environment, account, verb, "pods", "--namespace", namespace)
    for words in (("list", "nodes"), ("list", "namespaces"), ("create", "clusterrolebindings"), ("*", "*")):
        assert not can_i(environment, account, *words, "--all-namespaces")


def test_the_accounts_of_steps_may_do_nothing(environment: Environment) -> None:
    for name in ("noria-steps", "default"):
        user = f"system:serviceaccount:{environment.steps}:{name}"
        for words in (("list", "pods"), ("get", "secrets"), ("create", "pods")):
            done = environment.kubectl.run("auth", "can-i", *words, "--namespace", environment.steps, "--as", user)
            assert done.stdout.strip() == "no"


def test_a_step_pod_can_be_run_followed_asked_and_deleted(environment: Environment, steps_image: str) -> None:
    kubectl, identity = environment.kubectl, ("--namespace", environment.steps, "--as", who(environment, ACCOUNTS[0]))
    kubectl("create", "--filename", "-", *identity, given=json.dumps(_pod(steps_image)))
    until(lambda: "begun" in kubectl("logs", "step", *identity, check=False), 60, "the pod's log does not come")
    assert kubectl("exec", "step", *identity, "--", "id", "-u").strip() == "10001"
    pods = json.loads(kubectl("get", "pods", *identity, "--output", "json"))["items"]
    assert [pod["metadata"]["name"] for pod in pods] == ["step"]
    assert "Started" in kubectl("get", "events", *identity)
    forbidden = kubectl.run("get", "secret", "others", *identity)
    assert forbidden.returncode != 0
    assert "hidden" not in forbidden.stdout
    assert "Forbidden" in forbidden.stderr
    kubectl("delete", "pod", "step", *identity, "--wait=false")
    until(lambda: not kubectl("get", "pods", *identity, "--output", "name").strip(), 60, "the pod does not go")


def _pod(image: str) -> dict[str, object]:
    container = {
        "name": "base",
        "image": image,
        "command": ["sh", "-c", "echo begun; exec sleep 600"],
        "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True},
    }
    spec = {
        "serviceAccountName": "noria-steps",
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001},
        "containers": [container],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "step"}, "spec": spec}
