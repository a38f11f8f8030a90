"""Answers go into a table's columns and come out as they were, also those of a version that knows fewer classes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from include.lake.class_columns import answer_columns, read_answers

CLASSES = ("early", "late", "lost")


def test_numbers_come_out_as_they_went_in() -> None:
    answers = np.array([0.25, 1.5])
    assert read_answers(pa.table(answer_columns(answers, ())), ()).tolist() == answers.tolist()


def test_probabilities_come_out_as_they_went_in() -> None:
    answers = np.array([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0]])
    assert read_answers(pa.table(answer_columns(answers, CLASSES)), CLASSES).tolist() == answers.tolist()


@pytest.mark.parametrize("column", ["null", "not there"])
def test_a_class_that_was_added_since_has_no_probability(column: str) -> None:
    rows = pa.table(answer_columns(np.array([[0.2, 0.8]]), CLASSES[:2]))
    if column == "null":
        rows = rows.append_column("probability_lost", pa.array([None], pa.float64()))
    assert read_answers(rows, CLASSES).tolist() == [[0.2, 0.8, 0.0]]
