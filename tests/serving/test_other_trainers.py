"""Models of other trainers on the server: the package's answers, explanations or a clear word, a canary, loading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import mlflow.pyfunc
import numpy as np
import pytest

from include.registry.deployed import DeployedVersion
from include.serving.artifacts import ArtifactUnloadable, load_from
from include.settings import Settings
from include.training.matrices import Encoded
from include.training.packaged_model import TabularModel
from include.training.trainers.linear import fit_linear
from include.training.trainers.module import TrainerJob, open_module, save_with
from include.training.trainers.protocol import Estimator
from tests.serving.engine import OFFERED, challenge, enter, held, order, save_model
from tests.serving.live import AS_OF, FEATURES, Logged, deploy, in_thread, predict, raw_rows, serving, until
from tests.training import trainer_modules
from tests.training.factories import json_rows

pytestmark = pytest.mark.database

COLUMNS = list(OFFERED["columns"])
KINDS = ("linear", "module")


def part() -> Encoded:
    draw = np.random.default_rng(5)
    matrix = np.column_stack(
        [draw.random((300, 2)) * 90, draw.integers(0, 3, 300), draw.integers(0, 2, 300), draw.integers(0, 24, 300)]
    ).astype(np.float32)
    return Encoded(matrix=matrix, labels=(matrix[:, 0] + 9 * matrix[:, 2] + draw.random(300)).astype(np.float32))


def saved(folder: Path, kind: str, seed: int = 1) -> Logged:
    """A packaged model of that kind."""
    estimator: Estimator = fit_linear("regression", part(), FEATURES, alpha=1.0, max_iter=500)
    if kind == "module":
        path = folder / "my_trainer.py"
        path.write_text(trainer_modules.BY_SIGN)
        module, source = open_module(path)
        job = TrainerJob(
            train=part(), validation=part(), features=FEATURES, task="regression", params={}, seed=1, threads=1
        )
        estimator = save_with(path, module, source, module.train(job))
    return save_model(folder, seed, {**OFFERED, "estimator": {"kind": kind}}, estimator=estimator)


def asked(count: int = 40) -> list[dict[str, Any]]:
    return json_rows(raw_rows(count), COLUMNS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_server_mlflow_and_the_package_answer_alike(kind: str, stored_settings: Settings, tmp_path: Path) -> None:
    logged = saved(tmp_path, kind)
    expected = TabularModel.open(tmp_path / "package-1").predict_frame(raw_rows(40)).tolist()
    assert len(set(expected)) > 1
    loaded = mlflow.pyfunc.load_model(logged.model_uri)
    assert loaded.predict(raw_rows(40))["prediction"].tolist() == expected
    version = enter(stored_settings, logged)
    deploy(stored_settings, version)
    with in_thread(stored_settings) as client:
        until(lambda: serving(client, version))
        assert predict(client, *asked()).json()["predictions"] == expected
        assert [predict(client, row).json()["predictions"][0] for row in asked()[:5]] == expected[:5]
        assert client.get("/v2/models/m").json()["platform"] == f"noria_{kind}"
        answer = client.post("/models/m/invocations", json={"dataframe_records": asked()[:5]})
        assert answer.json()["predictions"] == [{"prediction": value} for value in expected[:5]]


def test_a_linear_model_explains_itself_by_its_terms(stored_settings: Settings, tmp_path: Path) -> None:
    answer = explained(stored_settings, tmp_path, "linear")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["scale"] == "value"
    for shares, prediction in zip(told["contributions"], told["predictions"], strict=True):
        assert set(shares) == {feature["name"] for feature in FEATURES}
        assert told["base"] + sum(shares.values()) == pytest.approx(prediction, abs=1e-9)


def test_a_modules_model_says_that_it_cannot_explain_itself(stored_settings: Settings, tmp_path: Path) -> None:
    answer = explained(stored_settings, tmp_path, "module")
    assert (answer.status_code, answer.json()["error"]) == (422, "Version 1 cannot explain its predictions.")


def explained(settings: Settings, folder: Path, kind: str) -> httpx.Response:
    version = enter(settings, saved(folder, kind))
    deploy(settings, version)
    with in_thread(settings) as client:
        until(lambda: serving(client, version))
        return client.post("/models/m/explain", json={"rows": asked(3)})


def test_a_canary_of_another_trainer_answers_its_share_beside_trees(stored_settings: Settings, tmp_path: Path) -> None:
    trees, line = enter(stored_settings, save_model(tmp_path, 2)), enter(stored_settings, saved(tmp_path, "linear"))
    deploy(stored_settings, trees)
    challenge(stored_settings, line, role="canary", share=0.5)
    packages = {trees: TabularModel.open(tmp_path / "package-2"), line: TabularModel.open(tmp_path / "package-1")}
    with in_thread(stored_settings) as client:
        until(lambda: [status for _, status in held(client).values()] == ["serving"] * 2)
        answered = set()
        for number in range(30):
            answer = predict(client, order(number))
            version = int(answer.headers["X-Noria-Version"])
            assert answer.json()["predictions"] == packages[version].predict_rows([order(number)])
            answered.add(version)
        assert answered == {trees, line}


def test_a_server_without_a_modules_packages_says_what_to_install(tmp_path: Path) -> None:
    logged = saved(tmp_path, "module")
    directory = tmp_path / "model-1"
    source = directory / "artifacts" / "trainer_module.py"
    deployed = DeployedVersion(
        model="m", role="champion", version=1, share=1.0, since=AS_OF, revision=1, fingerprint="f1", run_id="run-1",
        as_of=AS_OF, artifact_digest=logged.artifact_digest, model_uri=logged.model_uri, windows={},
    )  # fmt: skip
    source.write_text("import a_package_that_is_not_there\n" + source.read_text())
    with pytest.raises(ArtifactUnloadable, match=r"No module named 'a_package.*put that on this server's image"):
        load_from(directory, deployed)
