"""The evaluation page: verdict first, everything measured, self-contained, nothing of the data becomes markup."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.evaluation.curves import class_curves
from include.evaluation.decision import apply_gate
from include.evaluation.explanation import Explained, describe, judge_jump
from include.evaluation.fairness import Fairness
from include.evaluation.holdout import Holdout
from include.evaluation.report import Rival, evaluate
from include.reports.curve_charts import class_curves_chart, confusion_chart
from include.reports.evaluation_page import write_evaluation_page
from include.spec.definition import Definition
from include.spec.fairness import FairnessRule

GATES = [
    {"metric": "roc_auc", "at_least": 0.6},
    {"metric": "log_loss", "against": "naive"},
    {"metric": "roc_auc", "against": "linear", "margin": -0.02},
    {"metric": "roc_auc", "against": "champion"},
]


def make_definition(
    task: str = "binary_classification", gates: list[dict[str, Any]] | None = None, **evaluation: Any
) -> Definition:
    metrics = ["roc_auc", "log_loss"] if task == "binary_classification" else ["rmse", "r2"]
    return Definition.model_validate(
        {
            "model": "late",
            "description": "Late?",
            "owner": "team",
            "task": task,
            "source": {
                "type": "files",
                "path": "{store}/x/{partition}.parquet",
                "starts": "2013-01-01",
                "event_time": "at",
                "entity": ["at"],
                "columns": {"at": "timestamp", "carrier": "string", "x": "number", "y": "number"},
            },
            "label": {"expression": "y"},
            "features": {"x": {"expression": "x"}, "carrier": {"expression": "carrier", "type": "category"}},
            "training": {"window": "10d", "validation": "2d", "holdout": "2d"},
            "evaluation": {
                "metrics": metrics,
                "gates": GATES if gates is None else gates,
                "slices": ["carrier"],
                "bootstrap_rounds": 100,
                "threshold": 0.3,
                **evaluation,
            },
        }
    )


def make_holdout(task: str = "binary_classification", rows: int = 1500, days: int = 14) -> Holdout:
    random = np.random.default_rng(0)
    x = random.normal(size=rows)
    carrier = random.choice(["AA", "UA", "<b>DL</b>"], rows, p=[0.6, 0.39, 0.01])
    chance = 1 / (1 + np.exp(-x - (carrier == "AA") + 1))
    binary = task == "binary_classification"
    label = (random.random(rows) < chance).astype(float) if binary else 3 * x + random.normal(size=rows)
    columns = {"feature_x": x, "feature_carrier": carrier, "carrier": carrier, "label": label}
    frame = pd.DataFrame(columns | {"partition": [f"2013-01-{1 + row % days:02}" for row in range(rows)]})
    predictions = chance if binary else 3 * x
    return Holdout(Path(), frame, label, predictions, frame[["carrier"]], frame)


def make_report(task: str = "binary_classification", **changes: Any) -> dict[str, Any]:
    """A report with a champion that is a little worse."""
    gates = None if task == "binary_classification" else [{"metric": "rmse", "against": "champion"}]
    definition, holdout = make_definition(task, gates), make_holdout(task, days=changes.pop("days", 14))
    noise = np.random.default_rng(1).normal(0, 0.4, len(holdout.labels))
    champion = np.clip(holdout.predictions + noise, 0.01, 0.99) if gates is None else holdout.predictions + 10 * noise
    rival = Rival(3, Fairness("fair", np.ones(len(holdout.labels), dtype=bool), None), champion)
    report = evaluate(definition, holdout, changes.pop("rival", rival))
    outcomes = [one for gate in definition.evaluation.gates for one in apply_gate(definition.task, gate, report)]
    window = {"start": "2013-06-01T00:00:00-04:00", "end": "2013-09-01T00:00:00-04:00"}
    training_set = {
        "digest": "ab" * 16,
        "features_version": 4,
        "features_digest": "cd" * 16,
        "rows": {"train": 80000, "validation": 6000, "holdout": 1500},
        "windows": {"train": window, "validation": window, "holdout": window},
    }
    training = {"fingerprint": "f" * 64, "run_id": "r1", "artifact_digest": "a" * 64, "training_set": training_set}
    gates_document = [one.to_document() for one in outcomes]
    return report | {"as_of": "2013-10-01", "training": training, "gates": gates_document} | changes


def written(folder: Path, report: dict[str, Any]) -> str:
    return write_evaluation_page(folder / "page.html", report).read_text(encoding="utf-8")


def test_before_the_decision_the_page_says_how_the_gates_went(tmp_path: Path) -> None:
    page = written(tmp_path, make_report())

    assert "All gates passed" in page
    assert page.index("All gates passed") < page.index("Metrics on the holdout rows")


@pytest.mark.parametrize(
    ("promote", "head"),
    [(True, "Promote: the challenger goes into production"), (False, "Keep: champion version 3 stays")],
)
def test_the_decision_opens_the_page(tmp_path: Path, promote: bool, head: str) -> None:
    assert head in written(tmp_path, make_report(decision={"promote": promote, "reason": "Because."}))


def test_the_page_is_self_contained_and_escapes_what_the_data_says(tmp_path: Path) -> None:
    page = written(tmp_path, make_report())

    assert "<b>DL</b>" not in page
    assert "&lt;b&gt;DL&lt;/b&gt;" in page
    assert "<script" not in page
    assert "http://" not in page
    assert "https://" not in page


def test_metrics_gates_confusion_curves_slices_and_origin_are_there(tmp_path: Path) -> None:
    page = written(tmp_path, make_report())

    for part in (
        "Naive baseline",
        "Linear baseline",
        "Champion",
        "Confusion matrix",
        "ROC curve",
        "Precision and recall",
        "Calibration",
        "Slices",
    ):
        assert part in page
    assert "at least 30 are needed" in page
    assert "ROC AUC less than 0.02 worse than the linear baseline" in page
    assert "2013-06-01T00:00:00-04:00 to 2013-09-01" in page


def test_the_page_says_which_candidate_was_chosen_and_why(tmp_path: Path) -> None:
    report = make_report()
    assert "Chosen candidate" not in written(tmp_path, report)
    reason = "line has the smallest logloss on the validation part: 0.4 (the others: trees 0.5)."
    page = written(tmp_path, {**report, "training": {**report["training"], "candidate": reason}})
    assert "Chosen candidate" in page
    assert reason in page


def test_the_page_says_what_the_resamples_are_made_of(tmp_path: Path) -> None:
    page = written(tmp_path, make_report())

    assert "from 100 resamples of 14 whole partitions" in page
    assert "too narrow" not in page


def test_intervals_from_single_rows_are_named_as_such_with_the_reason(tmp_path: Path) -> None:
    page = written(tmp_path, make_report(days=3))

    assert "from 100 resamples of single rows" in page
    assert "come from 3 partitions, and fewer than 10 cannot be resampled whole" in page


def test_regression_shows_residuals_instead_of_a_confusion_matrix(tmp_path: Path) -> None:
    page = written(tmp_path, make_report("regression"))

    assert "Residuals" in page
    assert "Confusion matrix" not in page


@pytest.mark.parametrize("rival", [Rival.nobody(1500), Rival.itself(3, 1500)])
def test_without_a_champions_predictions_the_page_says_why(tmp_path: Path, rival: Rival) -> None:
    page = written(tmp_path, make_report(rival=rival))

    assert ("no champion yet" in page) or ("already champion" in page)


def test_what_answers_cost_is_a_metric_and_a_curve(tmp_path: Path) -> None:
    definition = make_definition(costs={"false_positive": 1.0, "false_negative": 5.0})
    report = make_report()
    measured = evaluate(definition, make_holdout(), Rival.nobody(1500))
    page = written(tmp_path, report | measured)

    assert "<td>Cost<br>" in page
    assert "Cost by threshold" in page
    assert "Line: 0.3. Least: " in page
    assert "in theory at 0.17." in page
    assert "Cost by threshold" not in written(tmp_path, report)


def test_importance_shap_summary_and_fairness_are_drawn_and_escaped(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    names = ["x", "<i>carrier</i>"]
    explained = Explained(
        pd.DataFrame(random.normal(size=(200, 2)), columns=names), {"x": random.normal(size=200)}, "value"
    )
    other = Explained(explained.contributions * [4.0, 1.0], explained.values, "value")
    importance = describe(explained, other, hidden=set())
    importance["jump"] = judge_jump(importance, version=3, limit=0.1)
    holdout, rule = make_holdout(), FairnessRule(column="carrier", measure="demographic_parity_difference", limit=0.01)
    definition = make_definition(fairness=[rule.model_dump()])
    report = make_report() | {
        "importance": importance,
        "fairness": evaluate(definition, holdout, Rival.nobody(1500))["fairness"],
    }
    page = written(tmp_path, report)

    assert "What each input adds to the answers" in page
    assert "(a jump from 10% on)" in page
    assert "Demographic parity difference between the groups of carrier" in page
    assert "at most 0.01" in page
    assert "<i>carrier" not in page
    assert "&lt;i&gt;carrier" in page


def test_a_version_that_cannot_explain_itself_says_so(tmp_path: Path) -> None:
    importance = describe("This model cannot explain its answers.", None, hidden=set()) | {"jump": None}
    assert "This model cannot explain its answers." in written(tmp_path, make_report() | {"importance": importance})


def test_several_classes_have_a_curve_each() -> None:
    random = np.random.default_rng(3)
    labels = random.integers(0, 3, 300).astype(float)
    scores = random.random((300, 3)) + np.eye(3)[labels.astype(int)]
    curves = class_curves(labels, scores / scores.sum(axis=1, keepdims=True), ["a", "b", "<c>", "never"][:3])
    for kind in ("roc", "pr"):
        drawn = class_curves_chart(curves, kind)
        assert drawn.count("<polyline") == 3
        assert "&lt;c&gt;" in drawn
        assert "<c>" not in drawn
    matrix = confusion_chart(["a", "<c>"], [[3, 1], [0, 4]], truth="truly", answer="likeliest")
    assert "75%" in matrix
    assert "<c>" not in matrix
