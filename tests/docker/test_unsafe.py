"""The scan for unsafe code: it refuses what is planted, and every exception names its rule."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from include.settings import PROJECT

SCAN = PROJECT / ".ci" / "unsafe"


def scan(folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    (folder / "include").mkdir()
    (folder / "include" / "planted.py").write_text(source)
    return subprocess.run([SCAN, folder], capture_output=True, text=True, check=False)


def test_what_is_unsafe_is_refused_with_its_place(tmp_path: Path) -> None:
    planted = (
        "import os, subprocess\n"
        'def count(table): return f"SELECT count(*) FROM {table}"\n'
        'def show(folder): os.system("ls " + folder)\n'
        'def list_(folder): subprocess.run("ls " + folder, shell=True)\n'
    )
    done = scan(tmp_path, planted)
    assert done.returncode != 0
    found = re.findall(r"\[(B\d+):.*?planted\.py:(\d+)", done.stdout, re.DOTALL)
    assert {("B608", "2"), ("B605", "3"), ("B602", "4")} <= set(found)


def test_what_is_safe_or_has_a_mark_passes_without_a_word(tmp_path: Path) -> None:
    marked = 'def count(table): return f"SELECT count(*) FROM {table}"  # nosec B608 # a name of our own\n'
    done = scan(tmp_path, marked + "import subprocess\nsubprocess.run(['ls'])\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("room", ["include", "plugins", "dags", "docker"])
def test_every_mark_names_its_rule(room: str) -> None:
    files = [(path, path.read_text(encoding="utf-8")) for path in (PROJECT / room).rglob("*.py")]
    unnamed = [path for path, text in files if re.search(r"#\s*nosec(?! B\d{3}\b)", text)]
    assert unnamed == []
