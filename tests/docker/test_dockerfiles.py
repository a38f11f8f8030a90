"""What can be seen in the Dockerfiles without building them; tests/kubernetes/test_images.py looks at the images."""

from __future__ import annotations

import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest

from include.settings import PROJECT
from tests.docker.locks import DOCKER

DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile"))
NAMES = [path.name for path in DOCKERFILES]


def instructions(path: Path) -> list[tuple[str, str]]:
    """Keyword and rest of each instruction, continuation lines joined, comments left out."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in joined.splitlines() if line.strip()]


def final_stage(path: Path) -> list[tuple[str, str]]:
    found = instructions(path)
    last = max(number for number, (keyword, _) in enumerate(found) if keyword == "FROM")
    return found[last:]


def test_there_are_three() -> None:
    assert NAMES == ["airflow.Dockerfile", "serving.Dockerfile", "steps.Dockerfile"]


@pytest.mark.parametrize("path", DOCKERFILES, ids=NAMES)
def test_every_stage_begins_with_the_same_named_version(path: Path) -> None:
    bases = [rest for keyword, rest in instructions(path) if keyword == "FROM"]
    assert len(bases) == 2, "code, and what is shipped"
    assert {base.partition(" AS ")[0] for base in bases} == {"python:3.11-slim"}


@pytest.mark.parametrize("path", DOCKERFILES, ids=NAMES)
def test_what_is_shipped_has_a_numeric_user_and_its_layers_in_the_order_in_which_they_change(path: Path) -> None:
    stage = final_stage(path)
    keywords = [keyword for keyword, _ in stage]
    assert [rest for keyword, rest in stage if keyword == "USER"] == ["10001:10001"]
    layers = [(keyword, rest.split()[0]) for keyword, rest in stage if keyword in {"COPY", "RUN"}]
    assert layers[0] == ("COPY", "docker/install-packages.sh")
    assert layers[1:] == [("RUN", "--mount=type=cache,target=/root/.cache"), ("COPY", "--from=code")]
    assert keywords.count("HEALTHCHECK") == 1
    assert "VOLUME" not in keywords


@pytest.mark.parametrize("path", DOCKERFILES, ids=NAMES)
def test_installer_and_caches_and_credentials_are_only_mounted(path: Path) -> None:
    (installing,) = [rest for keyword, rest in final_stage(path) if keyword == "RUN"]
    assert "type=cache,target=/root/.cache" in installing
    assert installing.count("type=secret,") == 2
    assert 'rm -rf "$tools"' in (DOCKER / "install-packages.sh").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", DOCKERFILES, ids=NAMES)
def test_labels_say_what_it_is_and_of_which_commit(path: Path) -> None:
    (labels,) = [rest for keyword, rest in final_stage(path) if keyword == "LABEL"]
    title = path.name.removesuffix(".Dockerfile")
    assert f'org.opencontainers.image.title="noria-{title}"' in labels
    assert 'org.opencontainers.image.version="${VERSION}"' in labels
    assert 'org.opencontainers.image.revision="${REVISION}"' in labels


@pytest.mark.parametrize("path", DOCKERFILES, ids=NAMES)
def test_environment_suits_any_user_on_a_read_only_root(path: Path) -> None:
    (environment,) = [rest for keyword, rest in final_stage(path) if keyword == "ENV"]
    for setting in ("HOME=/scratch", "TMPDIR=/scratch", "NORIA_HOME=/scratch/noria", "PYTHONDONTWRITEBYTECODE=1"):
        assert setting in environment.split()
    assert not re.search(r"(?i)password|token|secret|key=", environment)


@pytest.mark.parametrize("path", [*DOCKERFILES, DOCKER / "install-packages.sh"], ids=[*NAMES, "install-packages.sh"])
def test_nothing_is_fetched_from_a_named_place(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "://" not in text.replace("http://127.0.0.1", "")
    assert not re.search(r"index-url|trusted-host|curl|wget|apt-get", text)


def test_packages_are_installed_by_hash_and_as_wheels_only() -> None:
    text = (DOCKER / "install-packages.sh").read_text(encoding="utf-8")
    assert text.count("--require-hashes") == 2
    assert "--only-binary :all:" in text


# ---- what the builder gets to see -----------------------------------------------------------------------------------


def is_sent(path: str) -> bool:
    """Whether .dockerignore lets a path through: the last rule that matches it, or a folder above it, decides."""
    parts = path.split("/")
    candidates = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    sent = True
    for line in (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        rule = line.strip()
        if not rule or rule.startswith("#"):
            continue
        pattern = rule.removeprefix("!")
        anywhere = pattern.removeprefix("**/")
        if any(
            fnmatch(part, anywhere) if pattern != anywhere else fnmatch(candidate, pattern) and
            pattern.count("/") == candidate.count("/")
            for candidate, part in zip(candidates, parts, strict=True)
        ):  # fmt: skip
            sent = rule.startswith("!")
    return sent


@pytest.mark.parametrize(
    "path",
    [
        ".git/config", ".venv/bin/python", ".noria/instance.json", ".mypy_cache/x", "tests/conftest.py", "README.md",
        "include/__pycache__/errors.cpython-311.pyc", "include/spec/__pycache__/loader.cpython-311.pyc", ".env",
        "docker/compose.yaml", "docker/compose_secrets.py", "requirements.lock", "secrets.json",
    ],
)  # fmt: skip
def test_builder_does_not_see(path: str) -> None:
    assert not is_sent(path)


@pytest.mark.parametrize(
    "path",
    ["include/errors.py", "include/models/flight_delay.yaml", "include/reports/templates/x.html",
     "dags/flight_delay.py", "plugins/operators/step.py", "expectations/flight_delay/raw.json", "docker/steps.lock",
     "docker/install-packages.sh", "airflow_settings.yaml"],
)  # fmt: skip
def test_builder_sees(path: str) -> None:
    assert is_sent(path)


def test_everything_that_is_copied_is_there_and_is_sent() -> None:
    built = "plugins/pages/frontend/"  # the sources of what lies built beside them
    listing = ["git", "ls-files", "-co", "--exclude-standard"]
    known = subprocess.run(listing, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.split()
    for path in DOCKERFILES:
        for keyword, rest in instructions(path):
            if keyword != "COPY" or "--from=" in rest:
                continue
            sources = [word for word in rest.split()[:-1] if not word.startswith("--")]
            for source in sources:
                for variant in ("airflow", "airflow-local", "steps", "steps-gpu", "steps-spark"):
                    place = source.replace("${VARIANT}", variant)
                    found = [name for name in known if name == place or name.startswith(f"{place}/")]
                    assert found, f"{path.name} copies {place}, which is not there"
                    assert all(
                        is_sent(name) for name in found if not name.endswith(".pyc") and not name.startswith(built)
                    )
