"""Every overlay renders, is valid for current Kubernetes, and is hardened; Airflow's rights are these and no others."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import kubernetes_validate.utils
import pytest
import yaml

from include.serving.limits import Limits
from include.settings import PROJECT, Settings

KUBERNETES = PROJECT / "docker" / "kubernetes"
OVERLAYS = ("dev", "test", "prod")
OLD = "kubernetes-1.20"
CURRENT = "1.33"
RUNNING = ("Deployment", "StatefulSet")
Manifest = dict[str, Any]

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl, which renders them, is not there")
every_overlay = pytest.mark.parametrize("overlay", [*OVERLAYS, OLD])


# It would read the schemas of all kinds, some megabytes, for each manifest anew.
kubernetes_validate.utils.schema_contents = lru_cache(kubernetes_validate.utils.schema_contents)


@lru_cache
def text_of(overlay: str) -> str:
    command = ["kubectl", "kustomize", str(KUBERNETES / "overlays" / overlay)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def rendered(overlay: str) -> list[Manifest]:
    return list(yaml.load_all(text_of(overlay), Loader=yaml.CSafeLoader))


def of_kind(overlay: str, *kinds: str) -> dict[str, Manifest]:
    return {found["metadata"]["name"]: found for found in rendered(overlay) if found["kind"] in kinds}


def pods(overlay: str) -> Iterator[tuple[str, Manifest]]:
    for name, workload in of_kind(overlay, *RUNNING).items():
        yield name, workload["spec"]["template"]["spec"]


def containers(overlay: str) -> Iterator[tuple[str, Manifest]]:
    for name, pod in pods(overlay):
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            yield f"{name}/{container['name']}", container


def variables(container: Manifest) -> dict[str, Any]:
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlays_are_what_current_kubernetes_knows(overlay: str) -> None:
    for manifest in rendered(overlay):
        kubernetes_validate.validate(manifest, CURRENT, strict=True)


def test_the_validation_finds_a_misspelt_key() -> None:
    manifest = of_kind("dev", "StatefulSet")["noria-serving"]
    manifest["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(manifest, CURRENT, strict=True)


def test_the_old_overlay_differs_in_its_apis_and_is_valid_apart_from_them() -> None:
    old = {"autoscaling/v2beta2": "autoscaling/v2", "policy/v1beta1": "policy/v1"}
    assert {found["apiVersion"] for found in rendered(OLD)} - {found["apiVersion"] for found in rendered("dev")} == {
        *old
    }
    for manifest in rendered(OLD):
        manifest["apiVersion"] = old.get(manifest["apiVersion"], manifest["apiVersion"])
        kubernetes_validate.validate(manifest, CURRENT, strict=True)


@every_overlay
def test_every_pod_is_hardened(overlay: str) -> None:
    found = list(pods(overlay))
    assert {"noria-serving", "noria-mlflow"} <= {name for name, _ in found}
    for name, pod in found:
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] > 0, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["serviceAccountName"] == name, "an account of its own"
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()


@every_overlay
def test_every_container_is_hardened_probed_and_bounded(overlay: str) -> None:
    for name, container in containers(overlay):
        security = container["securityContext"]
        assert security == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys(), name
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name
        assert "memory" in container["resources"]["limits"], name


@every_overlay
def test_scratch_volumes_are_bounded(overlay: str) -> None:
    for name, pod in pods(overlay):
        for volume in pod["volumes"]:
            assert "emptyDir" not in volume or "sizeLimit" in volume["emptyDir"], (name, volume)


@every_overlay
def test_images_are_named_with_a_version(overlay: str) -> None:
    for name, container in containers(overlay):
        assert re.fullmatch(r"[a-z0-9.-]+/[a-z0-9/-]+:[a-z0-9.-]+", container["image"]), name
        assert not container["image"].endswith(":latest")


@every_overlay
def test_no_secret_has_a_value_in_the_files(overlay: str) -> None:
    assert of_kind(overlay, "Secret") == {}
    secret = re.compile(r"PASSWORD|SECRET|TOKEN$|KEY$|DATABASE_URL|BACKEND_STORE_URI")
    references = 0
    for _, container in containers(overlay):
        for name, value in variables(container).items():
            if secret.search(name) and not str(value).startswith("/run/"):
                assert set(value) == {"secretKeyRef"}, name
                references += 1
    assert references >= 2
    assert not re.search(r"://[^/\s:]+:[^/\s@]+@", text_of(overlay)), "a password in an address"


@every_overlay
def test_airflow_may_run_step_pods_and_nothing_else(overlay: str) -> None:
    prefix = "noria-local" if overlay == OLD else f"noria-{overlay}"
    assert of_kind(overlay, "ClusterRole", "ClusterRoleBinding") == {}
    role, binding = of_kind(overlay, "Role")["airflow-steps"], of_kind(overlay, "RoleBinding")["airflow-steps"]
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == f"{prefix}-steps"
    assert {(*rule["apiGroups"], *rule["resources"]): set(rule["verbs"]) for rule in role["rules"]} == {
        ("", "pods"): {"create", "get", "list", "patch", "delete"},
        ("", "pods/log"): {"get"},
        ("", "pods/exec"): {"get", "create"},
        ("", "events"): {"list"},
    }
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert [(one["name"], one["namespace"]) for one in binding["subjects"]] == [
        ("airflow-scheduler", f"{prefix}-airflow"),
        ("airflow-triggerer", f"{prefix}-airflow"),
    ]
    accounts = {
        (one["metadata"]["namespace"], one["metadata"]["name"])
        for one in rendered(overlay)
        if one["kind"] == "ServiceAccount"
    }
    assert {(one["namespace"], one["name"]) for one in binding["subjects"]} <= accounts


@every_overlay
def test_steps_that_are_spread_may_run_pods_beside_themselves_and_nothing_else(overlay: str) -> None:
    assert of_kind(overlay, "Role").keys() == {"airflow-steps", "noria-spark"}
    role, binding = of_kind(overlay, "Role")["noria-spark"], of_kind(overlay, "RoleBinding")["noria-spark"]
    assert {one for rule in role["rules"] for one in rule["resources"]} == {
        "pods",
        "configmaps",
        "services",
        "persistentvolumeclaims",
    }
    assert not {"*", "patch", "bind", "escalate"} & {verb for rule in role["rules"] for verb in rule["verbs"]}
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert [one["name"] for one in binding["subjects"]] == ["noria-spark"]
    assert {one.get("namespace", role["metadata"]["namespace"]) for one in binding["subjects"]} == {
        role["metadata"]["namespace"]
    }


@every_overlay
def test_only_what_runs_steps_lives_in_their_namespace(overlay: str) -> None:
    steps = "noria-local-steps" if overlay == OLD else f"noria-{overlay}-steps"
    kinds = {one["kind"] for one in rendered(overlay) if one["metadata"].get("namespace") == steps}
    allowed = {"ServiceAccount", "Role", "RoleBinding", "NetworkPolicy", "PersistentVolumeClaim", "ConfigMap"}
    assert {"Role", "ServiceAccount"} <= kinds <= allowed


@every_overlay
def test_environments_talk_to_themselves_only(overlay: str) -> None:
    environment = "local" if overlay == OLD else overlay
    policies = of_kind(overlay, "NetworkPolicy")
    assert policies["nothing-else"]["spec"]["podSelector"] == {}
    selectors = [
        peer["namespaceSelector"]["matchLabels"]
        for policy in policies.values()
        for rule in [*policy["spec"].get("ingress", []), *policy["spec"].get("egress", [])]
        for peer in [*rule.get("from", []), *rule.get("to", [])]
        if "namespaceSelector" in peer
    ]
    assert len(selectors) >= 5
    assert {labels["noria/environment"] for labels in selectors} == {environment}
    parts = {space["metadata"]["labels"]["noria/part"]: space for space in of_kind(overlay, "Namespace").values()}
    assert parts.keys() == {"services", "steps", "airflow"}
    assert {space["metadata"]["labels"]["noria/environment"] for space in parts.values()} == {environment}


@every_overlay
def test_each_serving_replica_keeps_a_folder_of_its_own(overlay: str) -> None:
    serving = of_kind(overlay, "StatefulSet")["noria-serving"]["spec"]
    [container] = serving["template"]["spec"]["containers"]
    [home] = [mount for mount in container["volumeMounts"] if mount["name"] == "home"]
    assert variables(container)["NORIA_HOME"].startswith(home["mountPath"] + "/")
    if overlay == OLD:
        assert home["subPathExpr"] == "$(POD_NAME)"
    else:
        assert [claim["metadata"]["name"] for claim in serving["volumeClaimTemplates"]] == ["home"]
    assert variables(container)["NORIA_HASHING_KEY"] == "/run/noria/hashing.key", "one key for all replicas"


@every_overlay
def test_a_replica_that_ends_has_the_time_that_the_server_takes(overlay: str) -> None:
    [serving] = [pod for name, pod in pods(overlay) if name == "noria-serving"]
    pause = int(serving["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    limits = Limits()
    drain = limits.linger_seconds + limits.drain_seconds + 5
    assert serving["terminationGracePeriodSeconds"] > pause + 2 * drain


@every_overlay
def test_disruptions_and_scaling_leave_replicas(overlay: str) -> None:
    [budget] = of_kind(overlay, "PodDisruptionBudget").values()
    [scaler] = of_kind(overlay, "HorizontalPodAutoscaler").values()
    target = scaler["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("StatefulSet", "noria-serving")
    assert scaler["spec"]["minReplicas"] > budget["spec"]["maxUnavailable"] == 1
    serving = of_kind(overlay, "StatefulSet")["noria-serving"]["spec"]
    assert serving["template"]["metadata"]["labels"].items() >= budget["spec"]["selector"]["matchLabels"].items()
    assert overlay == OLD or "replicas" not in serving, "an apply would undo what the autoscaler did"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_exporter_is_asked_by_prometheus_only_and_reaches_what_it_reads(overlay: str) -> None:
    policies = of_kind(overlay, "NetworkPolicy")
    mine = policies["noria-exporter"]["spec"]
    calls = {"noria/calls": "metrics", "noria/environment": overlay}
    assert [rule["from"] for rule in mine["ingress"]] == [[{"namespaceSelector": {"matchLabels": calls}}]]
    assert [port["port"] for rule in mine["egress"] for port in rule["ports"]] == [5432, 5000]
    [container] = dict(pods(overlay))["noria-exporter"]["containers"]
    given = variables(container)
    assert {"NORIA_DATABASE_URL", "NORIA_AIRFLOW_DATABASE_URL", "NORIA_TRACKING_URL"} <= given.keys()
    assert "NORIA_SERVER_TOKEN" not in given


def test_services_lead_to_the_pods_that_are_meant() -> None:
    labels = {name: one["spec"]["template"]["metadata"]["labels"] for name, one in of_kind("dev", *RUNNING).items()}
    services = of_kind("dev", "Service")
    names = {"noria-postgres", "noria-mlflow", "noria-serving", "noria-serving-replicas", "noria-exporter"}
    assert services.keys() == names
    for name, service in services.items():
        selector = service["spec"]["selector"].items()
        assert [one for one, found in labels.items() if selector <= found.items()] == [name.removesuffix("-replicas")]
    assert services["noria-serving-replicas"]["spec"]["clusterIP"] == "None"


def test_the_bucket_takes_the_place_of_the_volume_in_production() -> None:
    assert of_kind("prod", "PersistentVolumeClaim", "PersistentVolume") == {}
    for name, container in containers("prod"):
        if name == "noria-exporter/exporter":
            continue  # it reads databases only
        assert {"configMapRef": {"name": "noria-store"}} in container["envFrom"], name
        assert not {"NORIA_STORE", "MLFLOW_ARTIFACTS_DESTINATION"} & variables(container).keys(), name
    maps = [one for one in rendered("prod") if one["kind"] == "ConfigMap" and one["metadata"]["name"] == "noria-store"]
    assert {one["metadata"]["namespace"] for one in maps} == {"noria-prod", "noria-prod-steps"}
    secrets = {"NORIA_DATABASE_URL": "postgresql://db/noria", "NORIA_STORE_KEY": "k", "NORIA_STORE_SECRET": "s"}
    settings = Settings.from_environment({**maps[0]["data"], **secrets})
    assert settings.store_address == "s3://example-noria/prod"


def test_the_claims_of_both_namespaces_lead_to_one_folder() -> None:
    for overlay in ("dev", "test", OLD):
        volumes = of_kind(overlay, "PersistentVolume")
        claims = [one for one in rendered(overlay) if one["kind"] == "PersistentVolumeClaim"]
        assert len(claims) == len(volumes) == 2
        for claim in claims:
            bound = volumes[claim["spec"]["volumeName"]]["spec"]["claimRef"]
            assert bound == {"namespace": claim["metadata"]["namespace"], "name": claim["metadata"]["name"]}
        places = [volume["spec"].get("hostPath") or volume["spec"]["nfs"] for volume in volumes.values()]
        assert places[0] == places[1]


def test_secrets_that_the_manifests_name_are_those_that_the_script_makes() -> None:
    script = (KUBERNETES / "secrets.sh").read_text()
    values = yaml.safe_load((KUBERNETES / "airflow-values.yaml").read_text())
    named = {(one["secretName"], one["secretKey"]) for one in values["secret"]}
    mounted = [volume["secret"] for volume in values["scheduler"]["extraVolumes"]]
    named |= {(secret["secretName"], item["key"]) for secret in mounted for item in secret["items"]}
    named |= {("noria-airflow", key) for key in ("connection", "fernet-key", "api-secret-key", "jwt-secret")}
    for _, container in containers("dev"):
        references = [value["secretKeyRef"] for value in variables(container).values() if isinstance(value, dict)]
        named |= {(one["name"], one["key"]) for one in references}
    for _, pod in pods("dev"):
        for volume in pod["volumes"]:
            named |= {
                (volume["secret"]["secretName"], item["key"]) for item in volume.get("secret", {}).get("items", [])
            }
    assert len(named) > 9
    for name, key in named:
        made = re.search(rf'secret "\$\w+" {name} (.*?)(?:\n\n|\nfi)', script, re.DOTALL)
        assert made, name
        assert re.search(rf"(^|[\s@]){re.escape(key)}\s", made[1]), (name, key)


def test_airflow_is_given_what_the_manifests_prepare() -> None:
    values = yaml.safe_load((KUBERNETES / "airflow-values.yaml").read_text())
    accounts = {one["metadata"]["name"] for one in rendered("dev") if one["kind"] == "ServiceAccount"}
    for part in ("scheduler", "triggerer"):
        account = values[part]["serviceAccount"]
        assert account["create"] is False
        assert account["name"] in accounts
    assert not values["allowPodLaunching"], "the chart would give rights on pods in Airflow's own namespace"
    assert {"name": "noria-pod-template"} in [volume.get("configMap") for volume in values["volumes"]]
    assert "NORIA_STEP_MODE" in values["extraEnv"]
    template = yaml.safe_load(of_kind("dev", "ConfigMap")["noria-pod-template"]["data"]["pod-template.yaml"])
    [container] = template["spec"]["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": name}} for name in ("noria-steps", "noria-trusted-keys")]
    [key] = [one["mountPath"] for one in container["volumeMounts"] if one["name"] == "hashing"]
    assert variables(container)["NORIA_HASHING_KEY"] == f"{key}/hashing.key", "steps know the keys that were erased"


def test_only_the_scheduler_has_the_key_that_signs_and_whoever_checks_its_public_half() -> None:
    values = yaml.safe_load((KUBERNETES / "airflow-values.yaml").read_text())
    places = [name for name, part in values.items() if "noria-signing" in str(part)]
    assert places == ["scheduler"]
    assert "noria-signing" not in "".join(text_of(overlay) for overlay in [*OVERLAYS, OLD])
    [mount] = values["scheduler"]["extraVolumeMounts"]
    assert f"value: {mount['mountPath']}/signing.pem" in values["extraEnv"]
    [serving] = [container for name, container in containers("dev") if name.startswith("noria-serving/")]
    assert variables(serving)["NORIA_TRUSTED_KEYS"]["secretKeyRef"]["name"] == "noria-trusted-keys"
    assert "NORIA_SIGNING_KEY" not in variables(serving)


def test_every_file_belongs_to_an_overlay() -> None:
    used = {KUBERNETES / "overlays" / overlay / "kustomization.yaml" for overlay in [*OVERLAYS, OLD]}
    waiting = [path.parent for path in used]
    while waiting:
        folder = waiting.pop()
        document = yaml.safe_load((folder / "kustomization.yaml").read_text())
        names = [*document.get("resources", []), *document.get("components", [])]
        names += [file for one in document.get("configMapGenerator", []) for file in one.get("files", [])]
        names += [patch["path"] for patch in document.get("patches", []) if "path" in patch]
        for path in (Path(folder, name).resolve() for name in names):
            if path.is_dir():
                waiting.append(path)
                used.add(path / "kustomization.yaml")
            used.add(path)
    there = {path for part in ("base", "components", "overlays") for path in (KUBERNETES / part).rglob("*.*")}
    assert {path for path in there if path.is_file()} - used == set()
