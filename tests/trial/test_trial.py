"""Which models a branch changes, and a short life of them: what gets through, and what a suite refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from include.settings import PROJECT, Settings
from include.trial.__main__ import main
from include.trial.changed import GitRefuses, changed_models
from tests.backtest.world import write_world


def git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=ana", "-c", "user.email=ana@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(folder), *identity, *words], check=True, capture_output=True)


@pytest.fixture
def branch(tmp_path: Path) -> Settings:
    """The project's definitions and suites in a repository, on a branch that has left ``main``."""
    for name, origin in {"models": PROJECT / "include" / "models", "expectations": PROJECT / "expectations"}.items():
        shutil.copytree(origin, tmp_path / name)
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "Begin")
    git(tmp_path, "switch", "-q", "-c", "mine")
    return Settings.from_environment(
        {"NORIA_MODELS": str(tmp_path / "models"), "NORIA_EXPECTATIONS": str(tmp_path / "expectations")}
    )


def change(settings: Settings, *files: Path) -> None:
    for file in files:
        file.write_text(file.read_text() + "\n" if file.exists() else "")
    git(settings.models.parent, "add", "-A")
    git(settings.models.parent, "commit", "-q", "-m", "Change")


def test_a_changed_definition_or_suite_changes_its_model_only(branch: Settings) -> None:
    assert changed_models(branch, "main") == []

    change(branch, branch.models / "bike_demand.yaml", branch.expectations / "tumor_malignant" / "raw.json")

    assert changed_models(branch, "main") == ["bike_demand", "tumor_malignant"]


def test_a_module_changes_the_models_that_name_it_and_a_removed_model_is_none(branch: Settings) -> None:
    definition = branch.models / "bike_demand.yaml"
    text = definition.read_text()
    definition.write_text(text.replace("training:\n", "training:\n  trainer: {module: mine.py}\n", 1))
    (branch.models / "flight_outcome.yaml").unlink()
    git(branch.models.parent, "commit", "-q", "-am", "Use a module")
    git(branch.models.parent, "branch", "-f", "main")

    change(branch, branch.models / "mine.py")

    assert changed_models(branch, "main") == ["bike_demand"]


def test_what_the_other_branch_has_changed_meanwhile_is_not_this_one_s(branch: Settings) -> None:
    git(branch.models.parent, "switch", "-q", "main")
    change(branch, branch.models / "bike_demand.yaml")
    git(branch.models.parent, "switch", "-q", "mine")

    assert changed_models(branch, "main") == []


@pytest.mark.parametrize("since", ["origin/nowhere", "--output=there"])
def test_a_branch_that_git_does_not_know_is_refused(branch: Settings, since: str) -> None:
    with pytest.raises(GitRefuses, match="whole history"):
        changed_models(branch, since)


@pytest.mark.database
def test_a_sound_model_gets_through_and_another_ends_at_the_suite_that_refuses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = write_world(tmp_path)
    strict = tmp_path / "expectations" / "strict"
    shutil.copytree(tmp_path / "expectations" / "late", strict)
    text = (tmp_path / "models" / "late.yaml").read_text()
    (tmp_path / "models" / "strict.yaml").write_text(text.replace("model: late", "model: strict"))
    suite = json.loads((strict / "features.json").read_text())
    suite["expectations"][0]["kwargs"]["min_value"] = 1_000_000
    (strict / "features.json").write_text(json.dumps(suite))
    sample = tmp_path / "store"
    for name, value in {**environment, "NORIA_STORE": str(tmp_path / "nothing")}.items():
        monkeypatch.setenv(name, value)

    code = main(["run", "late", "strict", "--sample", str(sample), "--set", "training.rounds=5"])

    printed = capsys.readouterr()
    assert code == 10
    assert [line.split()[0] for line in printed.out.splitlines()] == [
        *("late", "raw", "features", "training", "predictions", "evaluated"),
        *("strict", "raw"),
    ]
    assert "✗ strict: " in printed.err
    assert "✗ late" not in printed.err
    assert not (tmp_path / "nothing").exists()


def test_a_sample_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "tumor_malignant", "--sample", str(tmp_path / "none")]) == 10
    assert "no folder" in capsys.readouterr().err
