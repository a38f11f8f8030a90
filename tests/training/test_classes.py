"""A multiclass classification from labels to a packaged model that answers with probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.features.select import label_sql
from include.lake.connections import open_duckdb
from include.settings import Settings
from include.training.matrices import Encoded
from include.training.package import write_package
from include.training.packaged_model import TabularModel
from include.training.parameters import parameters, row_weights
from include.training.part_files import WrittenPart
from include.training.profile import make_profile
from include.training.refusals import ClassMissing, check_parts
from include.training.trainers.linear import train_linear
from include.training.trainers.protocol import Request, Trained
from tests.training.factories import (
    CLASSES,
    json_rows,
    make_class_definition,
    make_definition,
    make_package,
    make_rows,
    train_model,
)

ROWS = make_rows(2000)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[TabularModel, dict[str, Encoded], Trained]:
    definition = make_class_definition()
    return make_package(tmp_path_factory.mktemp("classes"), definition, ROWS)


@pytest.fixture(scope="module")
def model(trained: tuple[TabularModel, dict[str, Encoded], Trained]) -> TabularModel:
    return trained[0]


def test_a_row_alone_in_a_batch_and_in_a_frame_has_the_same_probabilities(model: TabularModel) -> None:
    frame = ROWS.head(300)
    rows = json_rows(frame, list(model.columns))
    by_frame = model.predict_frame(frame)
    assert by_frame.shape == (300, 3)
    assert np.allclose(by_frame.sum(axis=1), 1, atol=1e-6)
    assert model.predict_rows(rows) == by_frame.tolist()
    assert [model.predict_rows([row])[0] for row in rows[:40]] == by_frame[:40].tolist()
    assert model.predict_rows(rows[:100]) == by_frame[:100].tolist()
    columns = {name: [row[name] for row in rows] for name in model.columns}
    assert model.predict_columns(columns) == model.predict_columns(columns, strict=False) == by_frame.tolist()
    assert model.predict_rows([]) == []


def test_mlflow_gets_the_likeliest_class_and_every_probability(model: TabularModel) -> None:
    answers = model.predict(None, ROWS.head(50))
    names = [f"probability_{name}" for name in CLASSES]
    assert answers.columns.tolist() == ["prediction", *names]
    places = answers[names].to_numpy().argmax(axis=1)
    assert answers["prediction"].tolist() == [CLASSES[place] for place in places]
    assert model.predict(None, ROWS.head(0)).columns.tolist() == ["prediction", *names]


def test_the_model_has_learned_the_classes(trained: tuple[TabularModel, dict[str, Encoded], Trained]) -> None:
    _, parts, made = trained
    judged = parts["validation"]
    answers = made.estimator.predict(judged.matrix)
    shares = np.bincount(parts["train"].labels.astype(int)) / len(parts["train"].labels)
    assert (answers.argmax(axis=1) == judged.labels).mean() > shares.max() + 0.1
    assert list(made.curves["validation"]) == ["merror", "mlogloss"]


def test_an_explanation_adds_up_to_the_score_of_the_likeliest_class(model: TabularModel) -> None:
    rows = json_rows(ROWS.head(20), list(model.columns))
    found = model.explain_rows(rows)
    assert found["scale"] == "score"
    matrix = model._matrix(model._arrays(model._reader.read_rows(rows)), 20, strict=True)
    margins = model._booster.inplace_predict(matrix, predict_type="margin")
    for row, answer, contributions in zip(margins, found["predictions"], found["contributions"], strict=True):
        place = int(np.argmax(answer))
        total = found["base"][CLASSES[place]] + sum(contributions.values())
        assert total == pytest.approx(float(row[place]), abs=1e-4)


def test_the_trainer_linear_answers_and_explains_classes_too(
    trained: tuple[TabularModel, dict[str, Encoded], Trained], tmp_path: Path
) -> None:
    trees, parts, _ = trained
    definition = make_class_definition(training={"trainer": {"name": "linear"}, "params": {}})
    made = train_linear(
        Request(definition=definition, features=trees.features, train=parts["train"], validation=parts["validation"])
    )
    description = {**trees.description, "estimator": {"kind": "linear"}}
    write_package(tmp_path / "package", estimator=made.estimator, description=description, profile={"format": 1})
    model = TabularModel.open(tmp_path / "package")
    rows = json_rows(ROWS.head(30), list(model.columns))
    answers = model.predict_rows(rows)
    assert np.allclose(np.sum(answers, axis=1), 1)
    assert [model.predict_rows([row])[0] for row in rows] == answers
    found = model.explain_rows(rows)
    assert found["predictions"] == answers
    scores = model._estimator.scores(model._matrix(model._arrays(model._reader.read_rows(rows)), 30, strict=True))
    for row, answer, contributions in zip(scores, answers, found["contributions"], strict=True):
        place = int(np.argmax(answer))
        assert found["base"][CLASSES[place]] + sum(contributions.values()) == pytest.approx(float(row[place]))


def test_the_same_bytes_come_out_with_any_number_of_threads(
    trained: tuple[TabularModel, dict[str, Encoded], Trained], tmp_path: Path
) -> None:
    _, _, made = trained
    again = make_package(tmp_path, make_class_definition(), ROWS, threads=2)[2]
    assert again.estimator.booster.save_raw() == made.estimator.booster.save_raw()


def test_balanced_classes_weigh_the_same_and_raise_the_rare_one(
    trained: tuple[TabularModel, dict[str, Encoded], Trained], tmp_path: Path
) -> None:
    model, parts, made = trained
    definition = make_class_definition(training={"class_weight": "balanced"})
    labels = parts["train"].labels
    weights = row_weights(definition, labels)
    assert weights is not None
    sums = np.bincount(labels.astype(int), weights)
    assert np.allclose(sums, len(labels) / 3, rtol=1e-5)
    features = model.features
    balanced = train_model(definition, features, parts["train"], parts["validation"], threads=1)
    matrix, rarest = parts["validation"].matrix, int(np.bincount(labels.astype(int)).argmin())
    plain, raised = (one.estimator.predict(matrix)[:, rarest].mean() for one in (made, balanced))
    assert raised > plain
    assert row_weights(make_class_definition(), labels) is None


def test_a_search_and_a_refit_judge_by_mlogloss(trained: tuple[TabularModel, dict[str, Encoded], Trained]) -> None:
    model, parts, _ = trained
    training = {"search": {"space": {"max_depth": {"low": 2, "high": 4}}, "trials": 2}, "refit": "validation"}
    found = train_model(
        make_class_definition(training=training), model.features, parts["train"], parts["validation"], threads=1
    ).found
    assert found is not None
    assert found.metric == "mlogloss"
    assert len(found.trials) == 2


def test_monotone_constraints_go_along() -> None:
    given = parameters(make_class_definition(training={"monotone": {"far": "increasing"}}))
    assert given["num_class"] == 3
    assert given["monotone_constraints"] == "(0,0,1,0,0)"


def test_a_class_that_is_not_declared_is_an_error_of_its_rows(tmp_path: Path) -> None:
    definition = make_class_definition(label={"expression": "CASE WHEN delay > 0 THEN 'odd' END"})
    with open_duckdb(Settings.from_environment({"NORIA_HOME": str(tmp_path)})) as connection:
        connection.execute("CREATE TABLE rows AS SELECT * FROM (VALUES (1.5), (-1.0)) t(delay)")
        with pytest.raises(Exception, match="class odd, which is not in label"):
            connection.execute(f"SELECT {label_sql(definition)} FROM rows").fetchall()
        known = make_class_definition(label={"expression": "CASE WHEN delay > 0 THEN 'late' END"})
        assert connection.execute(f"SELECT {label_sql(known)} FROM rows").fetchall() == [(1,), (None,)]


def test_numbers_and_truth_values_become_the_texts_of_their_classes(tmp_path: Path) -> None:
    definition = make_class_definition(label={"expression": "stars", "classes": [1, 2, 3]})
    assert definition.label.class_names == ("1", "2", "3")
    with open_duckdb(Settings.from_environment({"NORIA_HOME": str(tmp_path)})) as connection:
        connection.execute("CREATE TABLE rows AS SELECT * FROM (VALUES (3), (1)) t(stars)")
        assert connection.execute(f"SELECT {label_sql(definition)} FROM rows").fetchall() == [(2,), (0,)]


def test_other_tasks_keep_their_label_expression() -> None:
    assert label_sql(make_definition()) == '"delay" > 15'


def parts_of(train: list[int], validation: list[int], holdout: list[int]) -> dict[str, WrittenPart]:
    given = {"train": train, "validation": validation, "holdout": holdout}
    return {
        part: WrittenPart(rows=50 * len(labels), digest="", labels=tuple(sorted(map(float, set(labels)))))
        for part, labels in given.items()
    }


WINDOW = {"start": "2013-01-01T00:00:00+00:00", "end": "2013-01-02T00:00:00+00:00"}
WINDOWS = dict.fromkeys(("train", "validation", "holdout"), WINDOW)


class TestParts:
    def test_every_class_is_needed_to_learn_and_two_to_judge(self) -> None:
        check_parts(make_class_definition(), parts_of([0, 1, 2], [0, 1], [0, 2]), WINDOWS)

    @pytest.mark.parametrize(
        ("parts", "words"),
        [
            (([0, 1, 1], [0, 1], [0, 1]), "the class very late has no row in the train part"),
            (([0, 0, 0], [0, 1], [0, 1]), "the classes late, very late have no row in the train part"),
            (([0, 1, 2], [1], [0, 1]), "all labels are the class late in the validation part"),
        ],
    )
    def test_what_is_missing_is_said(self, parts: tuple[list[int], list[int], list[int]], words: str) -> None:
        with pytest.raises(ClassMissing, match=words) as caught:
            check_parts(make_class_definition(), parts_of(*parts), WINDOWS)
        assert "label.classes" in str(caught.value)


def test_profiles_count_predictions_and_labels_by_class() -> None:
    answers: Any = np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]])
    made = make_profile(
        pd.DataFrame({"feature_n": [1.0, 2.0]}),
        {"n": "numeric"},
        predictions=answers,
        labels=[2.0, 0.0],
        task="multiclass_classification",
        classes=CLASSES,
    )
    assert made["prediction"]["values"] == made["label"]["values"] == sorted(CLASSES)
    assert made["prediction"]["counts"] == [1, 1, 0]
    assert made["label"]["counts"] == [1, 0, 1]
