"""A search for parameters, monotone features, class weight: what may be written, and what is said of what may not."""

from __future__ import annotations

import pytest

from include.spec.loader import DefinitionError, load_definition
from tests.spec.conftest import Write, in_training, said_of

SPACE = "space: {max_depth: {low: 3, high: 10}}"

# what stands in the training section, the key of the error, and words of the message
BAD: dict[str, tuple[str, str, str]] = {
    "no space": ("search: {trials: 9}", "search.space", "Add `space`"),
    "empty space": ("search: {space: {}}", "search.space", "Write at least one."),
    "unknown parameter": ("search: {space: {max_dept: [1, 2]}}", "search.space.max_dept", "Did you mean `max_depth`?"),
    "Noria's parameter": ("search: {space: {seed: [1, 2]}}", "search.space.seed", "Use `training.seed`"),
    "unknown key": ("search: {space: {eta: {lo: 1, high: 2}}}", "search.space.eta.lo", "Did you mean `low`?"),
    "one end": ("search: {space: {subsample: {low: 0.5}}}", "search.space.subsample", "Write {low: 3, high: 10}"),
    "ends swapped": ("search: {space: {max_depth: {low: 9, high: 3}}}", "search.space.max_depth", "Swap them"),
    "end and values": ("search: {space: {gamma: {values: [1, 2], low: 0}}}", "search.space.gamma", "no low"),
    "value twice": ("search: {space: {max_bin: [64, 64]}}", "search.space.max_bin", "List it once."),
    "one value": ("search: {space: {max_bin: [64]}}", "search.space.max_bin", "Write at least"),
    "logarithm of nothing": (
        "search: {space: {alpha: {low: 0, high: 9, log: true}}}", "search.space.alpha", "over 0",
    ),
    "out of range": ("search: {space: {subsample: {low: 0.5, high: 1.5}}}", "search.space.subsample", "at most 1"),
    "no whole number": ("search: {space: {max_bin: {low: 64.0, high: 256}}}", "search.space.max_bin", "decimal point"),
    "range of words": ("search: {space: {grow_policy: {low: 1, high: 2}}}", "search.space.grow_policy", "List its"),
    "number for a word": ("search: {space: {grow_policy: [1, 2]}}", "search.space.grow_policy", "is not text"),
    "first value outside": (
        "params: {max_depth: 12}\n  search: {space: {max_depth: {low: 3, high: 10}}}",
        "search.space.max_depth", "Let the values here hold 12",
    ),
    "two names": (
        "params: {eta: 0.1}\n  search: {space: {learning_rate: {low: 0.1, high: 0.5}}}",
        "params.eta", "two names of one parameter",
    ),
    "too many folds": (f"search: {{{SPACE}, folds: 9}}", "search.folds", "At most 7 folds fit"),
    "one trial": (f"search: {{{SPACE}, trials: 1}}", "search.trials", "at least 2"),
    "endless patience": (f"search: {{{SPACE}, trials: 9, patience: 9}}", "search.patience", "after 9 trials anyway"),
    "positional constraints": (
        'params: {monotone_constraints: "(1,0)"}', "params.monotone_constraints", "Use `training.monotone`",
    ),
    "unknown feature": ("monotone: {distanc: increasing}", "monotone.distanc", "Did you mean `distance`?"),
    "unknown direction": ("monotone: {distance: up}", "monotone.distance", "increasing, decreasing"),
    "category": ("monotone: {carrier: increasing}", "monotone.carrier", "categories have no order"),
    "weight twice": (
        "class_weight: balanced\n  params: {scale_pos_weight: 3}", "class_weight", "Keep one of the two",
    ),
    "weight searched": (
        "class_weight: balanced\n  search: {space: {scale_pos_weight: {low: 1, high: 9}}}", "class_weight", "Keep one",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_search_names_key_and_cure(case: str, write: Write) -> None:
    text, key, words = BAD[case]
    assert words in said_of(write(in_training(text)), f"training.{key}")


def test_a_search_says_ranges_lists_and_budgets(write: Write) -> None:
    space = "{max_depth: {low: 3, high: 10}, learning_rate: {low: 0.01, high: 0.3, log: true}, max_bin: [128, 256]}"
    text = f"search: {{space: {space}, trials: 50, time: 20m, patience: 15, folds: 3}}"
    search = load_definition(write(in_training(text))).training.search
    assert search is not None
    assert search.space["max_bin"].values == [128, 256]
    assert search.space["max_depth"].holds(3)
    assert not search.space["max_depth"].holds(11)
    assert search.space["learning_rate"].log
    assert (search.trials, search.folds, search.patience, search.prune) == (50, 3, 15, True)


@pytest.mark.parametrize("key", ["class_weight: balanced", "calibration: sigmoid"])
def test_what_is_for_classes_is_refused_for_a_regression(key: str, write: Write) -> None:
    changes = [("binary_classification", "regression"), ("[roc_auc]", "[rmse]"), ("metric: roc_auc", "metric: r2")]
    changes += [("metric: log_loss", "metric: mae"), in_training(key)]
    with pytest.raises(
        DefinitionError, match=rf"training\.{key.split(':')[0]}: the task is regression, which has no classes"
    ):
        load_definition(write(*changes))
