"""Patterns of paths find what the glob module finds, in a time that no pattern can blow up."""

from __future__ import annotations

import glob
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from include.lake.patterns import path_pattern

FILES = ["a", "b.csv", ".h", "x/a", "x/b.csv", "x/y/a", "x/.h/a", "x/y/[b]", "y/a-b", "y/z/x/a", "y/z/x/.h", "y/]"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


_PART = st.one_of(
    st.sampled_from(["**", "*", "?", "x", "y", "z", "[!.]*", ".h", "*.csv", "***"]),
    st.text("ab*?[]!-.xy^\\", min_size=1, max_size=6),
)


@given(parts=st.lists(_PART, min_size=1, max_size=4))
@hypothesis_settings(max_examples=200, deadline=None)
def test_a_pattern_names_what_glob_finds(tree: Path, parts: list[str]) -> None:
    if {".", ".."} & set(parts):
        return
    pattern = "/".join(parts)
    found = {
        name
        for name in glob.iglob(pattern, root_dir=tree, recursive=True)
        if name[-1:] != "/" and (tree / name).is_file()
    }
    wanted = path_pattern(pattern)
    assert {name for name in FILES if wanted.matches(name)} == found


@pytest.mark.parametrize("pattern", ["[b-a]", "[a-\\d]"])
def test_a_range_that_runs_backwards_is_empty(pattern: str) -> None:
    assert not path_pattern(pattern).matches("-")


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/".join(["**"] * 12 + ["x"]), "a/" * 60 + "y"),
        ("*a" * 12 + "b", "a" * 200),
        ("**/" * 30 + "*a*a*a*b", "a/" * 200),
    ],
)
def test_no_pattern_takes_long(pattern: str, path: str) -> None:
    began = time.process_time()
    assert not path_pattern(pattern).matches(path)
    assert time.process_time() - began < 1
