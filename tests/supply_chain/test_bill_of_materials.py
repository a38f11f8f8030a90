"""Bills of materials: valid CycloneDX, the same bytes each time, everything that a lock has and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from include.supply_chain import bill_of_materials as bills
from include.supply_chain.locks import DOCKER, ROOT_LOCK, read_lock
from include.supply_chain.policy import read_policy

Bills = dict[str, bytes]


def write(folder: Path, version: str = "1", names: list[str] | None = None) -> Bills:
    return {
        path.name.removesuffix(".cdx.json"): path.read_bytes()
        for path in bills.write_bills(folder, read_policy().licences, version, names)
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Bills:
    return write(tmp_path_factory.mktemp("bills"))


def test_there_is_one_for_the_project_and_for_each_image(made: Bills) -> None:
    from include.stack.images import IMAGES

    assert made.keys() == {"noria", *IMAGES}


def test_they_are_valid(made: Bills) -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    for name in ("noria", "serving"):  # the others are made of the same parts
        assert validator.validate_str(made[name].decode()) is None, name
    broken = json.loads(made["serving"])
    broken["components"][0]["scope"] = "perhaps"
    assert validator.validate_str(json.dumps(broken)) is not None


def test_they_are_the_same_bytes_each_time_and_others_for_another_version(made: Bills, tmp_path: Path) -> None:
    for name, text in write(tmp_path / "again", names=["noria", "serving"]).items():
        assert text == made[name]
    others = write(tmp_path / "other", version="2", names=["noria", "serving"])
    serials = {json.loads(text)["serialNumber"] for written in (made, others) for text in written.values()}
    assert len(serials) == len(made) + len(others)


def test_the_projects_has_every_package_with_hashes_and_licence(made: Bills) -> None:
    components = {one["purl"]: one for one in json.loads(made["noria"])["components"]}
    assert len(components) > 200
    for package in read_lock(ROOT_LOCK):
        component = components.pop(f"pkg:pypi/{package.name}@{package.version}")
        assert (component["name"], component["version"]) == (package.name, package.version)
        assert tuple(one["content"] for one in component["externalReferences"][0]["hashes"]) == package.hashes
        assert package.hashes
        assert component["licenses"]
    assert components == {}


def test_an_images_has_what_is_installed_on_linux_only(made: Bills) -> None:
    locked = {(package.name, package.version) for package in read_lock(DOCKER / "steps.lock")}
    has = {(one["name"], one["version"]) for one in json.loads(made["steps"])["components"]}
    assert {name for name, _ in locked - has} >= {"pywin32", "waitress", "nvidia-nccl-cu12"}
    assert has < locked
    assert len({name for name, _ in has}) == len(has), "a package is installed in one version"
    assert "nvidia-nccl-cu12" in {one["name"] for one in json.loads(made["steps-gpu"])["components"]}


def test_a_package_of_another_environment_is_optional_in_the_projects(made: Bills) -> None:
    scopes = {one["name"]: (one["scope"], one.get("properties")) for one in json.loads(made["noria"])["components"]}
    assert scopes["waitress"][0] == "optional"
    assert scopes["waitress"][1] == [{"name": "noria:environment", "value": "sys_platform == 'win32'"}]
    assert scopes["duckdb"] == ("required", None)


def test_who_needs_what_leads_from_the_whole_to_every_package(made: Bills) -> None:
    for name, text in made.items():
        document = json.loads(text)
        below = {one["ref"]: one.get("dependsOn", []) for one in document["dependencies"]}
        reached, next_ = set(), [document["metadata"]["component"]["bom-ref"]]
        while next_:
            ref = next_.pop()
            if ref not in reached:
                reached.add(ref)
                next_ += below[ref]
        assert reached == below.keys(), name
    pandas = next(ref for ref in below if ref.startswith("pkg:pypi/pandas@"))
    assert any(ref.startswith("pkg:pypi/python-dateutil@") for ref in below[pandas])
