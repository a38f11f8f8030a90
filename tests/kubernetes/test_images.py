"""The images as a cluster runs them: any user id, a read-only root, nothing in them that does not belong there."""

from __future__ import annotations

import json
import re
import secrets
from typing import Any

import httpx
import pytest

from include.settings import PROJECT, Settings
from include.spec.loader import list_definitions
from include.steps.catalog import SUMMARIES
from tests.kubernetes.kubectl import Kubectl, until

IMAGES = ("steps", "serving", "airflow")
USER = 54321
README = PROJECT / "docker" / "README.md"
TOOLS = ("gcc", "cc", "c++", "g++", "clang", "ld", "as", "make", "cmake", "cargo", "rustc", "go", "git", "uv")
# What a container's own process sees of its image; printed as JSON.
LOOK = """
import importlib.util, json, os, pathlib, shutil, subprocess, sys, tempfile
def writes(folder):
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
kilobytes = int(subprocess.run(['du', '-skx', '/'], capture_output=True, text=True).stdout.split()[0])
sources = [path for root in ('/noria', '/opt/packages/lib') for path in pathlib.Path(root).rglob('*.py')]
print(json.dumps({
    'user': os.getuid(),
    'tools': [tool for tool in sys.argv[1].split() if shutil.which(tool)],
    'modules': [name for name in sys.argv[2].split() if importlib.util.find_spec(name)],
    'writable': [folder for folder in sys.argv[3].split() if writes(folder)],
    'temporary': tempfile.gettempdir(),
    'megabytes': kilobytes / 1024,
    'uncompiled': [str(path) for path in sources if path.parts[1] == 'noria'
                   and not pathlib.Path(importlib.util.cache_from_source(str(path))).exists()],
    'sources': len(sources),
    'tests': pathlib.Path('/noria/tests').exists(),
}))
"""
MODULES = ("airflow", "xgboost", "sklearn", "great_expectations", "mlflow", "kubernetes", "fastapi", "pandas", "pytest")
FOLDERS = "/ /noria /opt/packages /etc /var/tmp /tmp /scratch"
HOLDS = {
    "steps": {"xgboost", "sklearn", "great_expectations", "mlflow", "fastapi", "pandas"},
    "serving": {"xgboost", "great_expectations", "mlflow", "fastapi", "pandas"},
    "airflow": {"airflow", "mlflow", "kubernetes", "fastapi"},
}

pytestmark = pytest.mark.kubernetes


class Pods:
    """Hardened pods of one image at a time, under a user id that no image knows."""

    def __init__(self, kubectl: Kubectl, namespace: str) -> None:
        self.kubectl = kubectl
        self.namespace = namespace

    def start(self, image: str, *words: str) -> str:
        """Start a pod with these words as its command, or with the image's own; returns its name."""
        name = f"{image}-{secrets.token_hex(3)}"
        container: dict[str, Any] = {
            "name": "main",
            "image": f"localhost/noria-{image}:test",
            "imagePullPolicy": "IfNotPresent",
            "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        }
        if words:
            container["command"] = list(words)
        spec = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"fsGroup": USER},
            "containers": [container],
            "volumes": [{"name": "scratch", "emptyDir": {}}],
        }
        manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        self.kubectl("create", "--namespace", self.namespace, "--filename", "-", given=json.dumps(manifest))
        return name

    def status(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.kubectl.get("pod", name, "--namespace", self.namespace)["status"]
        return found

    def output(self, image: str, *words: str, seconds: float = 120) -> str:
        """What a command prints that ends well."""
        name = self.start(image, *words)
        until(lambda: self.status(name)["phase"] in {"Succeeded", "Failed"}, seconds, f"{name} did not end")
        said = self.kubectl("logs", name, "--namespace", self.namespace)
        assert self.status(name)["phase"] == "Succeeded", said
        return said


@pytest.fixture(scope="module")
def pods(kubectl: Kubectl, namespace: str, steps_image: str, serving_image: str, airflow_image: str) -> Pods:
    return Pods(kubectl, namespace)


@pytest.fixture(scope="module", params=IMAGES)
def look(request: pytest.FixtureRequest, pods: Pods) -> dict[str, Any]:
    image: str = request.param
    said = pods.output(image, "python", "-c", LOOK, " ".join(TOOLS), " ".join(MODULES), FOLDERS)
    return {**json.loads(said.splitlines()[-1]), "image": image}


def test_image_runs_as_any_user_on_a_read_only_root(look: dict[str, Any]) -> None:
    assert look["user"] == USER
    assert look["writable"] == ["/scratch"]
    assert look["temporary"] == "/scratch"


def test_image_holds_what_it_needs_and_nothing_to_build_with(look: dict[str, Any]) -> None:
    assert look["tools"] == []
    assert set(look["modules"]) == HOLDS[look["image"]]
    assert look["tests"] is False


def test_image_is_compiled_beforehand(look: dict[str, Any]) -> None:
    assert look["sources"] > 500
    assert look["uncompiled"] == []


def test_image_is_no_larger_than_the_readme_says(look: dict[str, Any]) -> None:
    told = re.search(
        rf"^\| noria-{look['image']} \| (\d+) MB \| (\d+) MB \|", README.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert told
    assert look["megabytes"] < int(told[2]) * 1.1


def test_server_is_less_than_600_megabytes_to_pull(pods: Pods) -> None:
    packing = "tar --create --one-file-system --exclude /proc --exclude /sys / 2>/dev/null | gzip -1 | wc -c"
    assert 100e6 < int(pods.output("serving", "sh", "-c", packing, seconds=300)) < 600e6


def test_every_step_can_be_imported_and_the_command_lists_them(pods: Pods) -> None:
    loading = "from include.steps.catalog import SUMMARIES as s, load_step; print([load_step(n) and n for n in s])"
    assert pods.output("steps", "python", "-c", loading).strip() == str(list(SUMMARIES))
    listed = pods.output("steps")
    assert [line.split()[0] for line in listed.splitlines()] == list(SUMMARIES)


def test_step_ends_with_the_exit_code_of_its_contract(pods: Pods) -> None:
    words = ("--model", "no_such_model", "--as-of", "2013-10-01T00:00:00-04:00")
    name = pods.start("steps", "python", "-m", "include.steps", "train", *words)
    until(lambda: pods.status(name)["phase"] == "Failed", 60, f"{name} did not end")
    assert pods.status(name)["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 10


def test_server_answers_with_nothing_but_a_scratch_volume(pods: Pods) -> None:
    name = pods.start("serving")
    until(lambda: "podIP" in pods.status(name), 60, f"{name} has no address")
    address = f"http://{pods.status(name)['podIP']}:8090"
    with httpx.Client(base_url=address, trust_env=False, timeout=5) as client:

        def answers() -> bool:
            try:
                return client.get("/health/live").status_code == 200
            except httpx.TransportError:
                return False

        until(answers, 90, f"{name} does not answer")
        assert client.get("/health/ready").status_code == 503, "without a database nothing is known to be served"
    pods.kubectl("delete", "pod", name, "--namespace", pods.namespace, "--wait=false")


def test_airflow_parses_every_dag_without_the_training_stack(pods: Pods) -> None:
    parsing = (
        "import json; from airflow.dag_processing.dagbag import DagBag; bag = DagBag('/noria/dags'); "
        "print(json.dumps([bag.import_errors, sorted(bag.dags)]))"
    )
    errors, dags = json.loads(pods.output("airflow", "python", "-c", parsing).splitlines()[-1])
    assert errors == {}
    families = ("data", "deploy", "monitor", "restore", "retire", "rollback", "score", "train")
    known = list_definitions(Settings.from_environment({}))
    models = [model for model in known if (PROJECT / "dags" / f"{model}.py").exists()]
    assert len(models) >= 2
    assert {f"{model}.{family}" for model in models for family in families} <= set(dags)
