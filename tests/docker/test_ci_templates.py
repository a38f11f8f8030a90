"""The templates for teams' CI: what they call is there, and promotion takes only what the environment before has."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from include.settings import PROJECT

FOLDER = PROJECT / "docker" / "ci"
TEMPLATES = ["github-actions.yml", "gitlab-ci.yml"]
TOOLS = {"git", "kubectl", "make", ".venv/bin/python", "case", "esac", "test)", "prod)"}


def scripts(template: str) -> list[str]:
    """Every script of a template."""
    document = yaml.safe_load((FOLDER / template).read_text())
    jobs: list[dict[str, Any]] = [
        job
        for job in document.get("jobs", document).values()
        if isinstance(job, dict) and {"steps", "script"} & set(job)
    ]
    steps = [step for job in jobs for step in job.get("steps", [])]
    return [step["run"] for step in steps if "run" in step] + [line for job in jobs for line in job.get("script", [])]


def commands(template: str) -> list[list[str]]:
    """Their lines, in words."""
    lines = [line for script in scripts(template) for line in script.splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def help_of(module: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"{module}.__main__").main([*words, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("template", TEMPLATES)
def test_each_command_of_a_template_is_there(template: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = commands(template)
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), flags=re.MULTILINE))

    assert {words[0] for words in found} <= TOOLS
    assert {words[1] for words in found if words[0] == "make"} <= targets
    modules = [words[2:] for words in found if words[:2] == [".venv/bin/python", "-m"]]
    assert {words[0] for words in modules} == {"include.spec", "include.trial", "include.registry"}
    for module, command, *more in modules:
        told = help_of(module, [command], capsys)
        assert all(word in told for word in more if word.startswith("--"))


@pytest.mark.parametrize("template", TEMPLATES)
def test_each_environment_of_a_template_has_its_overlay(template: str) -> None:
    text = (FOLDER / template).read_text()

    assert any("docker/kubernetes/overlays/" in word for words in commands(template) for word in words)
    for environment in ("dev", "test", "prod"):
        assert environment in text
        assert (PROJECT / "docker" / "kubernetes" / "overlays" / environment).is_dir()


@pytest.mark.parametrize("template", TEMPLATES)
def test_an_environment_takes_only_what_the_one_before_has(template: str, tmp_path: Path) -> None:
    [guard] = [script for script in scripts(template) if "merge-base" in script]

    def git(*words: str) -> None:
        identity = ("-c", "user.name=ana", "-c", "user.email=ana@example.com", "-c", "commit.gpgsign=false")
        subprocess.run(["git", "-C", str(tmp_path), *identity, *words], check=True, capture_output=True)

    def takes(environment: str) -> bool:
        variables = {"ENVIRONMENT": environment, "CI_COMMIT_BRANCH": environment, "PATH": "/usr/bin:/bin"}
        return subprocess.run(["bash", "-e", "-c", guard], cwd=tmp_path, env=variables, check=False).returncode == 0

    git("init", "-q", "-b", "work")
    git("commit", "-q", "--allow-empty", "-m", "Tested")
    git("update-ref", "refs/remotes/origin/test", "HEAD")
    git("commit", "-q", "--allow-empty", "-m", "In dev only")
    git("update-ref", "refs/remotes/origin/dev", "HEAD")

    assert [takes(environment) for environment in ("dev", "test", "prod")] == [True, True, False]
    git("commit", "-q", "--allow-empty", "-m", "Nowhere yet")
    assert [takes(environment) for environment in ("dev", "test", "prod")] == [True, False, False]


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_holds_no_secret_and_uses_no_action_of_third_parties(template: str) -> None:
    text = (FOLDER / template).read_text()

    assert set(re.findall(r"uses: (\S+)@", text)) <= {"actions/checkout", "actions/setup-python"}
    assert not re.search(r"https?://", text)
