"""How answers lie in a table: a number in ``prediction``, or of several classes the likeliest and all probabilities.

Of several classes ``prediction`` is the class's place in ``label.classes``, as in the column ``label``; beside it stand
``predicted_class`` (its name) and ``probability_<class>``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa

from include.lake.columns import PREDICTION

PREDICTED_CLASS: Final = "predicted_class"
PROBABILITY_PREFIX: Final = "probability_"


def probability_columns(classes: Sequence[str]) -> list[str]:
    """The columns of the classes' probabilities, in the classes' order."""
    return [f"{PROBABILITY_PREFIX}{name}" for name in classes]


def answer_fields(classes: Sequence[str]) -> list[pa.Field]:
    """The columns of answers.

    :param classes: none if an answer is one number.
    """
    fields = [pa.field(PREDICTION, pa.float64())]
    if classes:
        fields.append(pa.field(PREDICTED_CLASS, pa.string()))
        fields += [pa.field(name, pa.float64()) for name in probability_columns(classes)]
    return fields


def answer_columns(answers: Any, classes: Sequence[str]) -> dict[str, pa.Array]:
    """Answers as :func:`answer_fields` has them.

    :param answers: array of shape (rows,), or of several classes (rows, classes).
    """
    if not classes:
        return {PREDICTION: pa.array(answers, pa.float64())}
    table = answers.reshape(-1, len(classes))
    places = table.argmax(axis=1)  # of equal ones the first
    columns = {
        PREDICTION: pa.array(places.astype("float64"), pa.float64()),
        PREDICTED_CLASS: pa.array([classes[place] for place in places], pa.string()),
    }
    return columns | {
        name: pa.array(table[:, place], pa.float64()) for place, name in enumerate(probability_columns(classes))
    }


def read_answers(rows: pa.Table, classes: Sequence[str]) -> Any:
    """The answers of rows as :func:`answer_columns` takes them: shape (rows,), or of several classes (rows, classes).

    A version has no probability for classes that were added since: the table's column is null for it, or not there.
    """
    if not classes:
        return rows[PREDICTION].to_numpy()
    known = [name for name in probability_columns(classes) if name in rows.column_names and not rows[name].null_count]
    return padded(rows.select(known).to_pandas().to_numpy(dtype="float64"), len(classes))


def padded(answers: Any, classes: int) -> Any:
    """Probabilities with zeros for the classes that a version does not know yet: later ones are added at the end.

    :param answers: shape (rows, known classes).
    :returns: shape (rows, classes).
    """
    import numpy as np

    return np.pad(answers, ((0, 0), (0, classes - answers.shape[1])))
