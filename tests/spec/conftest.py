"""Small definitions to break: a valid one, and a factory that writes variants of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from include.spec.definition import Definition
from include.spec.loader import DefinitionError, load_definition

VALID = """\
model: delays
description: Will it be late?
owner: ops
task: binary_classification
source:
  type: files
  path: "{store}/landing/{partition}.parquet"
  partition: day
  time_zone: America/New_York
  starts: 2013-01-01
  event_time: at
  entity: [id, at]
  columns:
    id: integer
    at: timestamp
    carrier: string
    distance: number
    delay: number
label:
  expression: delay > 15
  known_after: 1d
features:
  distance: distance
  hour: hour(at)
  carrier: {expression: carrier, type: category}
training:
  window: 90d
  validation: 7d
  holdout: 14d
  params: {max_depth: 6, learning_rate: 1e-1}
evaluation:
  metrics: [roc_auc]
  gates:
    - {metric: roc_auc, at_least: 0.6}
    - {metric: log_loss, against: champion}
  slices: [carrier]
"""

Write = Callable[..., Path]


def in_training(text: str) -> tuple[str, str]:
    """A change for :func:`write`: a line of the section training in place of its parameters."""
    return ("  params: {max_depth: 6, learning_rate: 1e-1}\n", f"  {text}\n")


def said_of(path: Path, key: str) -> str:
    """What is said of a key, and of those below it, of a definition that is refused; a line for each problem."""
    with pytest.raises(DefinitionError) as caught:
        load_definition(path)
    print(caught.value)
    here = (one for one in caught.value.problems if f"{one.key}.".startswith((f"{key}.", f"{key}[")))
    return "\n".join(f"{one.what}. {one.cure}" for one in here)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write the valid definition with parts replaced; a part that is not there is a mistake of the test."""

    def write(*changes: tuple[str, str], text: str = VALID, name: str = "delays.yaml") -> Path:
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new, 1)
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.fixture
def load(write: Write) -> Callable[..., Definition]:
    """Write a variant of the valid definition and load it."""
    return lambda *changes: load_definition(write(*changes))
