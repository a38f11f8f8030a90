"""The scan for secrets: it refuses what is planted in a tracked file, says where, and repeats nothing of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from include.settings import PROJECT

SCAN = PROJECT / ".ci" / "secrets"
# In pieces, so that this file itself is clean.
PLANTED = {
    "a private key": "-----BEGIN RSA PRIVATE " + "KEY-----",
    "an access key of AWS": "AKI" + "AQ3EGUHX7WHOT2FZP",
    "a token of GitHub or GitLab": "ghp_" + "a1B2" * 9,
    "a token of Slack": "xoxb" + "-123456789012-abcdefghijkl",
    "a key of Google, Stripe or a model's service": "sk_live" + "_4eC39HqLyjWDarjtT1zdp7dc",
    "a signed token": "eyJ" + "hbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3",
    "a password in an address": "postgresql://noria:" + "Tr0ub4dor@db.example.com/noria",
}


def scan(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCAN, folder], capture_output=True, text=True, check=False)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    return tmp_path


def track(repository: Path, text: str) -> None:
    (repository / "notes.txt").write_text(f"first line\nx = '{text}'\n")
    subprocess.run(["git", "add", "notes.txt"], cwd=repository, check=True)


@pytest.mark.parametrize("form", PLANTED)
def test_a_planted_secret_is_refused_and_not_repeated(repository: Path, form: str) -> None:
    track(repository, PLANTED[form])
    done = scan(repository)
    assert done.returncode == 1
    assert f"notes.txt:2: this looks like {form}." in done.stderr
    assert PLANTED[form] not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://ana:…@db.example.com/shop",
        "postgresql://{user}:{password}@db/noria",
        "postgresql://$USER:$PASSWORD@db/noria",
        "postgresql://noria:s3cret@db/noria",
        "http://127.0.0.1:8080/a@b",
    ],
)
def test_placeholders_and_examples_pass(repository: Path, text: str) -> None:
    track(repository, text)
    assert scan(repository).returncode == 0


def test_the_project_itself_is_clean() -> None:
    done = scan(PROJECT)
    assert done.returncode == 0, done.stderr
