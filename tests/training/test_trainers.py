"""The trainers besides XGBoost: the same bytes every time, the same answers alone, in a batch and after loading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from include.spec.candidates import trainings
from include.spec.columns import feature_types, input_columns
from include.spec.definition import Definition
from include.training.compiling import compile_package
from include.training.matrices import Encoded, encode_part
from include.training.package import PackageIncomplete, artifact_digest, describe_model, requirements, write_package
from include.training.packaged_model import TabularModel, encode
from include.training.trainers.linear import fit_linear
from include.training.trainers.losses import loss
from include.training.trainers.module import TrainerModuleRefused
from include.training.trainers.protocol import Request, Trained
from include.training.trainers.registry import train
from tests.training import trainer_modules
from tests.training.factories import featured, json_rows, make_definition, make_rows, select_of

FEATURES = [{"name": "a", "type": "numeric"}, {"name": "b", "type": "category", "categories": ["x", "y", "z"]}]
REGRESSION = {"task": "regression", "label": {"expression": "delay"}}


def linear(*, task: str = "binary_classification", **training: Any) -> Definition:
    plain = {"trainer": "linear", "params": {}, **training}
    return make_definition(**(REGRESSION if task == "regression" else {}), training=plain)


def parts(rows: int = 1500) -> tuple[Encoded, Encoded]:
    random = np.random.default_rng(3)
    made = []
    for count in (rows, rows // 3):
        matrix = np.column_stack([random.normal(size=count), random.integers(0, 3, count)]).astype(np.float32)
        matrix[random.random(matrix.shape) < 0.05] = np.nan
        signal = 2 * np.nan_to_num(matrix[:, 0]) + (matrix[:, 1] == 2) + random.normal(size=count)
        made.append(Encoded(matrix=matrix, labels=(signal > 0.5).astype(np.float32)))
    return made[0], made[1]


def trained(definition: Definition, *, module: Path | None = None, threads: int = 1) -> Trained:
    train_part, validation = parts()
    return train(
        Request(
            definition=definition,
            features=FEATURES,
            train=train_part,
            validation=validation,
            threads=threads,
            module=module,
        )
    )


def package(folder: Path, definition: Definition, *, module: Path | None = None) -> tuple[TabularModel, Trained, Any]:
    """Train on raw rows and write a package with compiled features; returns it opened, the training and the rows."""
    rows = make_rows(1500)
    description = describe_model(
        definition,
        columns=input_columns(definition),
        feature_types=feature_types(definition),
        select=select_of(definition),
        categories={"carrier": ["AA", "B6", "DL", "UA"]},
    )
    frame = featured(rows, definition, description, folder)
    train_part, validation = (encode_part(part, description["features"]) for part in (frame[:1200], frame[1200:]))
    request = Request(
        definition=definition,
        features=description["features"],
        train=train_part,
        validation=validation,
        threads=1,
        module=module,
    )
    made = train(request)
    description["estimator"] = {"kind": made.kind}
    write_package(folder / "package", estimator=made.estimator, description=description, profile={"format": 1})
    compile_package(folder / "package", description, rows)
    return TabularModel.open(folder / "package"), made, rows


@pytest.fixture
def module_file(tmp_path: Path) -> Callable[[str], Path]:
    def write(source: str) -> Path:
        path = tmp_path / "my_trainer.py"
        path.write_text(source)
        return path

    return write


BY_MODULE: dict[str, Any] = {"trainer": {"module": "my_trainer.py"}, "params": {}}


@pytest.mark.parametrize("kind", ["logistic", "ridge", "module", "flavour"])
def test_a_package_answers_equally_alone_in_a_batch_compiled_or_not(
    kind: str, tmp_path: Path, module_file: Callable[[str], Path]
) -> None:
    module = None
    if kind in ("module", "flavour"):
        source = trainer_modules.FOREST if kind == "flavour" else trainer_modules.BY_SIGN
        definition, module = make_definition(training=BY_MODULE), module_file(source)
    else:
        definition = linear(task="regression" if kind == "ridge" else "binary_classification")
    model, made, rows = package(tmp_path, definition, module=module)
    assert model.description["compiled"]["admitted"], model.description["compiled"]["reason"]
    batch = model.predict_frame(rows)
    assert batch.dtype == np.float64
    assert np.array_equal(batch, made.estimator.predict(encode(model.compute_features(rows), model.features)))
    asked = json_rows(rows[:300], list(model.columns))
    assert model.predict_rows(asked) == batch[:300].tolist()
    assert [model.predict_rows([row])[0] for row in asked[:20]] == batch[:20].tolist()
    columns = {name: [row[name] for row in asked] for name in model.columns}
    assert model.predict_columns(columns) == batch[:300].tolist()
    assert len(set(batch.tolist())) > 1
    assert model.predict_frame(rows[:0]).shape == (0,)


@pytest.mark.parametrize(
    "training",
    [{}, {"refit": "validation"}, {"calibration": "sigmoid"}, {"class_weight": "balanced", "params": {"C": 0.01}}],
)
def test_linear_gives_the_same_bytes_on_any_number_of_threads(training: dict[str, Any], tmp_path: Path) -> None:
    written = set()
    for number, threads in enumerate((1, 2, 2)):
        folder = tmp_path / str(number)
        folder.mkdir()
        trained(linear(**training), threads=threads).estimator.save(folder)
        written.add((folder / "model.json").read_bytes())
    assert len(written) == 1


def test_each_setting_of_linear_changes_the_model() -> None:
    matrix = parts()[1].matrix
    answers = [
        trained(linear(**training)).estimator.predict(matrix).tobytes()
        for training in (
            {},
            {"refit": "validation"},
            {"calibration": "sigmoid"},
            {"class_weight": "balanced"},
            {"params": {"C": 0.01}},
            {"params": {"max_iter": 1}},
        )
    ]
    assert len(set(answers)) == len(answers)


def test_linear_equals_scikit_learn_on_the_same_columns() -> None:
    from sklearn.linear_model import LogisticRegression

    train_part = parts()[0]
    plain = [{"name": "a", "type": "numeric"}]
    part = Encoded(matrix=np.nan_to_num(train_part.matrix[:, :1]), labels=train_part.labels)
    values = part.matrix.astype(np.float64)
    scaled = (values - values.mean()) / values.std()
    reference = LogisticRegression(tol=1e-6, max_iter=1000).fit(scaled, part.labels)
    mine = fit_linear("binary_classification", part, plain, C=1.0, max_iter=1000)
    assert np.allclose(mine.predict(part.matrix), reference.predict_proba(scaled)[:, 1], atol=1e-6)


def test_a_calibrated_linear_model_keeps_the_order_of_rows() -> None:
    matrix = parts()[1].matrix
    plain, calibrated = (trained(linear(calibration=one)).estimator.predict(matrix) for one in ("none", "sigmoid"))
    assert np.array_equal(np.argsort(plain, kind="stable"), np.argsort(calibrated, kind="stable"))
    assert trained(linear(calibration="sigmoid")).sigmoid is not None


def test_one_fit_counts_as_one_round_with_curves_and_importance() -> None:
    made = trained(linear())
    validation = parts()[1]
    assert made.best_round == 1
    assert made.curves["validation"]["logloss"] == [loss("binary_classification", validation.labels, made.judged)]
    assert made.curves["train"]["logloss"][0] < np.log(2)
    assert made.importance["a"] > made.importance["b"] > 0


def test_contributions_of_a_linear_model_add_up_to_its_answer(tmp_path: Path) -> None:
    model, _, rows = package(tmp_path, linear())
    told = model.explain_rows(json_rows(rows[:50], list(model.columns)))
    assert (told["scale"], len(told["contributions"])) == ("log-odds", 50)
    sums = [told["base"] + sum(shares.values()) for shares in told["contributions"]]
    assert np.allclose(1 / (1 + np.exp(-np.array(sums))), told["predictions"], atol=1e-12)
    assert told["predictions"] == model.predict_frame(rows[:50]).tolist()
    numbers = json_rows(rows, list(model.columns))
    mean = np.mean([shares["hour"] for shares in model.explain_rows(numbers[:1200])["contributions"]])
    assert abs(mean) < 1e-6, "over the training rows a contribution is nothing on average"


def test_missing_unseen_and_extreme_values_get_finite_answers(tmp_path: Path) -> None:
    model, _, rows = package(tmp_path, linear())
    row = json_rows(rows[:1], list(model.columns))[0]
    unseen, missing = ({**row, "carrier": value} for value in ("never seen", None))
    assert model.predict_rows([unseen]) == model.predict_rows([missing])
    for extreme in (1e300, -1e300, 0.0):
        (answer,) = model.predict_rows([{**row, "distance": extreme}])
        assert 0 <= answer <= 1


def test_a_constant_empty_feature_and_one_category_are_no_problem() -> None:
    random = np.random.default_rng(1)
    matrix = np.column_stack([np.full(200, np.nan), np.full(200, 3.0), np.zeros(200), random.normal(size=200)])
    part = Encoded(matrix=matrix.astype(np.float32), labels=(matrix[:, 3] > 0).astype(np.float32))
    features = [
        {"name": "empty", "type": "numeric"},
        {"name": "constant", "type": "numeric"},
        {"name": "category", "type": "category", "categories": ["only"]},
        {"name": "signal", "type": "numeric"},
    ]
    made = fit_linear("binary_classification", part, features, C=1.0, max_iter=100)
    assert np.isfinite(made.predict(part.matrix)).all()
    assert np.isfinite(made.predict(np.full((1, 4), np.nan, np.float32))).all()


def test_several_classes_get_probabilities_that_add_up_to_one() -> None:
    random = np.random.default_rng(1)
    matrix = random.normal(size=(600, 2)).astype(np.float32)
    labels = (matrix[:, 0] > 0).astype(np.float32) + (matrix[:, 1] > 0)
    features = [{"name": name, "type": "numeric"} for name in "ab"]
    some: Any = "multiclass_classification"
    made = fit_linear(some, Encoded(matrix=matrix, labels=labels), features, C=1.0, max_iter=200)
    answers = made.predict(matrix)
    assert answers.shape == (600, 3)
    assert np.allclose(answers.sum(axis=1), 1)
    assert (answers.argmax(axis=1) == labels).mean() > 0.7
    assert np.array_equal(answers[5:6], made.predict(matrix[5:6]))


# ---- a module of the team's own --------------------------------------------------------------------------------------


def test_a_module_gives_the_same_digest_twice_though_its_flavour_notes_times(
    tmp_path: Path, module_file: Callable[[str], Path]
) -> None:
    digests = set()
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        package(folder, make_definition(training=BY_MODULE), module=module_file(trainer_modules.FOREST))
        digests.add(artifact_digest(folder / "package"))
        assert not list((folder / "package").rglob("*.pkl"))
    assert len(digests) == 1
    (folder / "package" / "model" / "model.skops").write_bytes(b"damaged")
    assert artifact_digest(folder / "package") not in digests


def test_a_module_is_given_its_params_and_cannot_explain(tmp_path: Path, module_file: Callable[[str], Path]) -> None:
    definition = make_definition(training={**BY_MODULE, "params": {"times": 0.5}})
    model, made, _ = package(tmp_path, definition, module=module_file(trainer_modules.BY_SIGN))
    assert made.parameters["times"] == 0.5
    assert (model.explains, made.importance) == (False, {})


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("def save(", "def store(", "has no function save; see README"),
        ("import numpy", "import nothing_of_that_name", "cannot be imported: ModuleNotFoundError"),
        ("def load(folder):", "def load(folder)", "cannot be imported: SyntaxError"),
        ("    return BySign(float(", "    return BySign(folat(", "`train` or `save` failed: NameError"),
        ('(folder / "means.json").write_text', "str", "wrote no file"),
        ("np.where(matrix[:, 0] > 12, self.high, self.low)", "[0.5]", r"gave the shape \(1,\) for"),
        ("self.high, self.low)", "np.nan, self.low)", "not all finite"),
    ],
)
def test_a_module_that_cannot_work_is_refused_by_name(
    old: str, new: str, words: str, module_file: Callable[[str], Path]
) -> None:
    assert old in trainer_modules.BY_SIGN
    path = module_file(trainer_modules.BY_SIGN.replace(old, new).replace("> 12", "> 0"))
    with pytest.raises(TrainerModuleRefused, match=f"my_trainer.py: .*{words}"):
        trained(make_definition(training=BY_MODULE), module=path)


def test_a_package_without_its_model_is_incomplete(tmp_path: Path) -> None:
    package(tmp_path, linear())
    whole = artifact_digest(tmp_path / "package")
    assert len(whole) == 64
    (tmp_path / "package" / "model.json").unlink()
    with pytest.raises(PackageIncomplete):
        artifact_digest(tmp_path / "package")


def test_requirements_are_named_once() -> None:
    plain = requirements()
    assert requirements(("mine==1.0", plain[0])) == [*plain, "mine==1.0"]


def test_the_default_is_xgboost_alone() -> None:
    definition = make_definition()
    assert definition.training.trainer.kind == "xgboost"
    assert trainings(definition) == {"": definition}
