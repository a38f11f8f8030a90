"""The engine: what may be written, and what is said of what an engine cannot do."""

from __future__ import annotations

import pytest

from include.spec.loader import load_definition
from tests.spec.conftest import Write, in_training, said_of

# the engine, what stands in the training section, the key of the error, and words of the message
BAD: dict[str, tuple[str, str, str, str]] = {
    "unknown": ("spork", "seed: 7", "engine", "Did you mean `spark`?"),
    "number": ("3", "seed: 7", "engine", "Write the keys of this section below it"),
    "no executor": ("{name: spark, executors: 0}", "seed: 7", "engine.executors", "1"),
    "little memory": ("{name: spark, memory: 512Mi}", "seed: 7", "engine.memory", "Give it 1Gi or more."),
    "executors of one machine": ("{executors: 3}", "seed: 7", "engine.executors", "Write name: spark, or remove it."),
    "linear": ("spark", "trainer: linear", "training.trainer", "Use the trainer xgboost"),
    "search": ("spark", "search: {space: {max_depth: [3, 4]}}", "training.search", "one training and no search"),
    "candidates": ("spark", "candidates: {a: {}, b: {rounds: 9}}", "training.candidates", "leave out engine"),
}


def _engine(text: str) -> tuple[str, str]:
    return ("evaluation:\n", f"engine: {text}\nevaluation:\n")


@pytest.mark.parametrize("case", BAD)
def test_a_bad_engine_names_key_and_cure(case: str, write: Write) -> None:
    engine, training, key, words = BAD[case]
    assert words in said_of(write(_engine(engine), in_training(training)), key)


@pytest.mark.parametrize(
    ("text", "name", "executors"),
    [("spark", "spark", 2), ("local", "local", 2), ("{name: spark, executors: 8, cpu: 4, memory: 16Gi}", "spark", 8)],
)
def test_a_good_engine_is_taken(text: str, name: str, executors: int, write: Write) -> None:
    engine = load_definition(write(_engine(text))).engine
    assert (engine.name, engine.executors) == (name, executors)


def test_one_machine_is_what_there_is_without_a_word(write: Write) -> None:
    assert load_definition(write()).engine.name == "local"
