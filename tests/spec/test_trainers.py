"""Trainer and candidates: what may be written, and what is said of what may not."""

from __future__ import annotations

import pytest

from include.spec.candidates import trainings
from include.spec.loader import load_definition
from tests.spec.conftest import Write, in_training, said_of

TWO = "{trees: {params: {max_depth: 3}}, line: {trainer: linear}}"

# what stands in the training section, the key of the error, and words of the message
BAD: dict[str, tuple[str, str, str]] = {
    "unknown trainer": ("trainer: linea", "trainer", "Did you mean `linear`?"),
    "number": ("trainer: 3", "trainer", "Write the keys of this section below it: name, module."),
    "two trainers": ("trainer: {name: linear, module: mine.py}", "trainer", "Write `trainer: linear` or {module"),
    "no trainer": ("trainer: {}", "trainer", "Write `trainer: linear` or {module"),
    "no such file": ("trainer: {module: mine.py}", "trainer.module", "Create it, or correct the name."),
    "no Python": ("trainer: {module: mine.txt}", "trainer.module", "Write a name such as mine.py."),
    "file elsewhere": ("trainer: {module: ../mine.py}", "trainer.module", "no Python file beside the definition"),
    "XGBoost's parameter": ("trainer: linear\n  params: {max_depth: 3}", "params.max_depth", "has no parameter 'max_d"),
    "case": ("trainer: linear\n  params: {c: 1}", "params.c", "Did you mean `C`?"),
    "other task's": ("trainer: linear\n  params: {alpha: 1}", "params.alpha", "The parameters are: C, max_iter."),
    "Noria's": ("trainer: linear\n  params: {class_weight: balanced}", "params.class_weight", "Use `training.class_w"),
    "out of range": ("trainer: linear\n  params: {C: 0}", "params.C", "more than 0"),
    "no whole number": ("trainer: linear\n  params: {max_iter: 1.5}", "params.max_iter", "Write a whole number."),
    "rounds": ("trainer: linear\n  rounds: 9", "rounds", "it is fitted at once. Remove it."),
    "early stopping": ("trainer: linear\n  early_stopping_rounds: 9", "early_stopping_rounds", "Remove it."),
    "search": (
        "trainer: linear\n  search: {space: {max_depth: [3, 4]}}", "search", "compare some values as training.cand",
    ),
    "monotone": ("trainer: linear\n  monotone: {distance: increasing}", "monotone", "or use the trainer xgboost"),
    "calibrated module": ("trainer: {module: m.py}\n  calibration: sigmoid", "calibration", "calibrate within `train`"),
    "refitted module": ("trainer: {module: m.py}\n  refit: validation", "refit", "train on both parts within"),
    "weighted module": ("trainer: {module: m.py}\n  class_weight: balanced", "class_weight", "weigh the classes"),
    "one candidate": ("candidates: {trees: {}}", "candidates", "Add another one"),
    "unknown key": ("candidates: {a: {trainr: linear}, b: {}}", "candidates.a.trainr", "Did you mean `trainer`?"),
    "name": ("candidates: {A: {trainer: linear}, b: {}}", "candidates.A", "Use lower-case letters"),
    "candidate's parameter": (
        "candidates: {a: {params: {max_dept: 3}}, b: {}}", "candidates.a.params.max_dept", "Did you mean `max_depth`?",
    ),
    "candidate's rounds": (
        "candidates: {a: {trainer: linear, rounds: 9}, b: {}}", "candidates.a.rounds", "it is fitted at once",
    ),
    "candidate's search": (
        "candidates: {a: {trainer: linear, search: {space: {eta: [0.1, 0.2]}}}, b: {}}",
        "candidates.a.search", "a search is for XGBoost's parameters",
    ),
    "candidate's module": (
        "candidates: {a: {trainer: {module: m.py}}, b: {}}", "candidates.a.trainer.module", "Create it",
    ),
    "shared key": (f"monotone: {{distance: increasing}}\n  candidates: {TWO}", "monotone", "candidate line: the tr"),
    "nobody's params": (
        "params: {max_depth: 3}\n  candidates: {a: {trainer: linear}, b: {params: {eta: 0.1}}}", "params",
        "Remove it, or leave `params` out of a candidate.",
    ),
    "nobody's rounds": (
        "rounds: 9\n  candidates: {a: {trainer: linear}, b: {trainer: linear, params: {C: 2}}}", "rounds",
        "does not follow rounds",
    ),
    "weight twice": (
        "class_weight: balanced\n  candidates: {a: {trainer: linear}, b: {params: {scale_pos_weight: 3}}}",
        "class_weight", "candidate b: scale_pos_weight is given too",
    ),
}  # fmt: skip

GOOD = (
    "trainer: xgboost",
    "trainer: linear\n  params: {C: 0.1, max_iter: 50}",
    "trainer: {name: linear}\n  class_weight: balanced\n  calibration: sigmoid\n  refit: validation",
    f"candidates: {TWO}",
    f"rounds: 9\n  refit: validation\n  candidates: {TWO}",
    "search: {space: {max_depth: [3, 4]}, folds: 2}\n  candidates: {searched: {}, line: {trainer: linear}}",
)


@pytest.mark.parametrize("case", BAD)
def test_a_bad_trainer_names_key_and_cure(case: str, write: Write) -> None:
    text, key, words = BAD[case]
    assert words in said_of(write(in_training(text)), f"training.{key}")


@pytest.mark.parametrize("text", GOOD)
def test_a_good_trainer_is_taken(text: str, write: Write) -> None:
    load_definition(write(in_training(text)))


def test_a_module_beside_the_definition_is_taken(write: Write) -> None:
    path = write(in_training("trainer: {module: mine.py}\n  params: {anything: goes, depth: -1}"))
    (path.parent / "mine.py").write_text("")
    assert load_definition(path).training.trainer.module == "mine.py"


def test_a_candidate_has_the_keys_that_it_leaves_out_from_training(write: Write) -> None:
    text = "params: {max_depth: 3}\n  rounds: 9\n  candidates: {a: {}, b: {rounds: 4}, c: {trainer: linear}}"
    made = {name: one.training for name, one in trainings(load_definition(write(in_training(text)))).items()}
    assert [(one.trainer.kind, one.params, one.rounds) for one in made.values()] == [
        ("xgboost", {"max_depth": 3}, 9),
        ("xgboost", {"max_depth": 3}, 4),
        ("linear", {}, 9),
    ]


def test_a_regression_takes_alpha(write: Write) -> None:
    changes = [
        ("task: binary_classification", "task: regression"),
        ("expression: delay > 15", "expression: delay"),
        ("[roc_auc]", "[rmse]"),
        ("{metric: roc_auc, at_least: 0.6}", "{metric: rmse, at_most: 60}"),
        ("{metric: log_loss, against: champion}", "{metric: rmse, against: champion}"),
        in_training("trainer: linear\n  params: {alpha: 2.5}"),
    ]
    assert load_definition(write(*changes)).training.params == {"alpha": 2.5}
