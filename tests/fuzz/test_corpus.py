"""Every input that is known of goes through its target again: what was found once stays mended."""

from __future__ import annotations

import pytest

from tests.fuzz.target import CORPUS
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_the_known_inputs_of_a_target_are_understood_or_refused(name: str) -> None:
    target = TARGETS[name]
    inputs = target.inputs()
    assert inputs
    for label, data in inputs:
        try:
            target.check(data)
        except Exception as error:
            raise AssertionError(f"{name}, {label}: {data[:200]!r}") from error


def test_every_folder_of_the_corpus_belongs_to_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir() if path.is_dir()} <= TARGETS.keys()
