"""The classes of a multiclass classification: what is taken, what is refused and how that reads."""

from __future__ import annotations

import pytest

from include.spec.loader import DefinitionError, load_definition
from tests.spec.conftest import VALID, Write, in_training

TASK = ("binary_classification", "multiclass_classification")
LABEL = "label:\n  expression: delay > 15"
METRICS = "metrics: [roc_auc]"
OBJECTIVE = "  objective: {expression: prediction, goal: greater}"


def with_classes(classes: str) -> tuple[str, str]:
    return LABEL, f"label:\n  expression: carrier\n  classes: {classes}"


def without_carrier() -> list[tuple[str, str]]:
    """The label is made from the carrier here, so no feature may read it."""
    return [("  carrier: {expression: carrier, type: category}\n", "")]


GOOD = [TASK, with_classes("[a, b, c]"), *without_carrier()]


def problems(write: Write, *changes: tuple[str, str]) -> dict[str, str]:
    """Key of each problem, and what it says."""
    path = write(*changes)
    with pytest.raises(DefinitionError) as caught:
        load_definition(path)
    print(caught.value)
    return {problem.key: problem.at(path) for problem in caught.value.problems}


def test_classes_are_kept_in_their_order_as_texts(write: Write) -> None:
    definition = load_definition(write(TASK, with_classes("[late, 2, very late]"), *without_carrier()))
    assert definition.label.class_names == ("late", "2", "very late")


@pytest.mark.parametrize(
    ("classes", "key", "words"),
    [
        ("[yes it is, no]", "label.classes", "task: binary_classification"),
        ("[a, b, A]", "label.classes[2]", "case makes no difference"),
        ("[a, b, ' c']", "label.classes[2]", "spaces"),
        ("[a, b, 'c,d']", "label.classes[2]", "column's name"),
        ("[a, b, true]", "label.classes[2]", ""),
        ("a", "label.classes", "list"),
        (str([f"c{number}" for number in range(101)]), "label.classes", "at most 100"),
    ],
)
def test_what_cannot_be_classes_is_refused(classes: str, key: str, words: str, write: Write) -> None:
    found = problems(write, TASK, with_classes(classes), *without_carrier())
    [said] = [text for name, text in found.items() if name.startswith(key)]
    assert words in said


def test_classes_are_needed_for_this_task_and_for_no_other(write: Write) -> None:
    assert "[low, middle, high]" in problems(write, TASK)["label"]
    assert "task: multiclass_classification" in problems(write, with_classes("[a, b, c]"))["label.classes"]


@pytest.mark.parametrize(
    ("change", "key", "words"),
    [
        ((METRICS, f"{METRICS}\n  threshold: 0.3"), "evaluation.threshold", "likeliest class"),
        ((METRICS, f"{METRICS}\n  costs: {{false_positive: 1, false_negative: 5}}"), "evaluation.costs", "two classes"),
        ((METRICS, f"{METRICS}\n{OBJECTIVE}"), "evaluation.objective", "one number"),
        ((METRICS, "metrics: [f1]"), "evaluation.metrics[0]", "macro_f1"),
        ((METRICS, "metrics: [cost]"), "evaluation.metrics[0]", "no metric 'cost'"),
        (("window: 90d", "window: 90d\n  calibration: sigmoid"), "training.calibration", "one of two classes"),
        (("max_depth: 6", "scale_pos_weight: 6"), "training.params.scale_pos_weight", "class_weight: balanced"),
        (
            in_training("candidates: {a: {params: {scale_pos_weight: 6}}, b: {}}"),
            "training.candidates.a.params.scale_pos_weight",
            "class_weight: balanced",
        ),
        (("max_depth: 6", "num_class: 3"), "training.params.num_class", "task"),
    ],
)
def test_what_is_for_two_classes_is_refused(change: tuple[str, str], key: str, words: str, write: Write) -> None:
    assert words in problems(write, *GOOD, change)[key]


def test_what_fits_several_classes_is_taken(write: Write) -> None:
    training = ("window: 90d", "window: 90d\n  class_weight: balanced\n  monotone: {distance: increasing}")
    definition = load_definition(write(*GOOD, training, (METRICS, "metrics: [macro_f1, log_loss, brier, accuracy]")))
    assert definition.training.class_weight == "balanced"
    assert "classes" not in VALID
