"""A model of several classes on the server: every protocol, explanations, labels, the log and the evidence from it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

from include.hashing import Hashing
from include.registry.deployed import DeployedVersion
from include.serving.evidence import read_evidence
from include.serving.loaded import LoadedModel, ModelFailed
from include.serving.protocols import feedback
from include.serving.protocols.calls import Call
from include.serving.protocols.metadata import model_metadata
from include.serving.protocols.v2 import V2
from include.serving.request_log.batches import Logged as LoggedRecord
from include.serving.request_log.batches import inference_tables
from include.serving.request_log.compaction import Compactor
from include.serving.request_log.records import ANSWER, SHADOW, Shape
from include.serving.validation import RequestRefused
from include.serving.verification import LiveServer
from include.settings import Settings
from include.training.packaged_model import TabularModel
from tests.serving.engine import OFFERED, enter, order, save_model
from tests.serving.live import GOOD_ROW, Logged, deploy, in_thread, predict, until
from tests.serving.log_world import answer, logged, open_log, shape, without_suites

CLASSES = ["calm", "windy", "storm"]
OF_CLASSES: dict[str, Any] = {**OFFERED, "task": "multiclass_classification", "classes": CLASSES}
ROWS = [
    order(number) | {"n": number % 2, "x": number / 4, "place": "ABC"[number % 3], "dry": number % 5 == 0}
    for number in range(40)
]
PROBABILITIES = [[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Logged:
    return save_model(tmp_path_factory.mktemp("saved"), 1, OF_CLASSES)


@pytest.fixture(scope="module")
def model(saved: Logged) -> TabularModel:
    return TabularModel.open(Path(saved.model_uri.removeprefix("file://")) / "artifacts")


@pytest.fixture
def client(stored_settings: Settings, saved: Logged) -> Iterator[httpx.Client]:
    deploy(stored_settings, enter(stored_settings, saved))
    with in_thread(stored_settings) as made:
        until(lambda: predict(made).status_code == 200)
        yield made


@pytest.mark.database
class TestServer:
    def test_every_protocol_gives_the_likeliest_class_and_all_probabilities(
        self, client: httpx.Client, model: TabularModel
    ) -> None:
        inputs = [{name: row[name] for name in model.columns} for row in ROWS]
        expected = model.predict_rows(inputs)
        classes = [CLASSES[int(np.argmax(row))] for row in expected]
        assert len(set(classes)) > 1
        rows = predict(client, *ROWS).json()
        assert rows["predictions"] == classes
        assert [list(row.values()) for row in rows["probabilities"]] == expected
        assert list(rows["probabilities"][0]) == CLASSES
        alone = predict(client, ROWS[5]).json()
        assert (alone["predictions"], list(alone["probabilities"][0].values())) == ([classes[5]], expected[5])

        found = client.post("/models/m/invocations", json={"dataframe_records": ROWS}).json()["predictions"]
        assert [row["prediction"] for row in found] == classes
        assert [[row[f"probability_{name}"] for name in CLASSES] for row in found] == expected

        tensors = [
            {"name": name, "shape": [len(ROWS)], "datatype": kind, "data": [row[name] for row in ROWS]}
            for name, kind in (("n", "INT64"), ("x", "FP64"), ("place", "BYTES"), ("dry", "BOOL"), ("seen_at", "BYTES"))
        ]
        outputs = {
            one["name"]: one for one in client.post("/v2/models/m/infer", json={"inputs": tensors}).json()["outputs"]
        }
        assert outputs["prediction"] == {"name": "prediction", "datatype": "BYTES", "shape": [40], "data": classes}
        assert outputs["probabilities"]["shape"] == [40, 3]
        assert np.array(outputs["probabilities"]["data"]).reshape(40, 3).tolist() == expected
        described = client.get("/v2/models/m").json()["outputs"]
        assert [(one["name"], one["datatype"], one["shape"]) for one in described] == [
            ("prediction", "BYTES", [-1]),
            ("probabilities", "FP64", [-1, 3]),
        ]

    def test_tritons_client_reads_both_outputs_as_bytes(self, client: httpx.Client) -> None:
        address = str(client.base_url).removeprefix("http://").rstrip("/")
        inputs = []
        for name, kind, values in (
            ("n", "INT64", np.arange(4)),
            ("x", "FP64", np.linspace(0, 1, 4)),
            ("place", "BYTES", np.array(list("ABCA"), dtype=object)),
            ("dry", "BOOL", np.array([True, False, True, True])),
            ("seen_at", "BYTES", np.array([GOOD_ROW["seen_at"]] * 4, dtype=object)),
        ):
            tensor = InferInput(name, [4], kind)
            tensor.set_data_from_numpy(values)
            inputs.append(tensor)
        asked = [InferRequestedOutput("prediction"), InferRequestedOutput("probabilities")]
        found = InferenceServerClient(address).infer("m", inputs, outputs=asked)
        probabilities = found.as_numpy("probabilities")
        assert probabilities.shape == (4, 3)
        said = [name.decode() for name in found.as_numpy("prediction")]
        assert said == [CLASSES[place] for place in probabilities.argmax(axis=1)]
        one = InferenceServerClient(address).infer("m", inputs, outputs=asked[1:]).get_response()["outputs"]
        assert [output["name"] for output in one] == ["probabilities"]

    def test_an_explanation_is_of_the_likeliest_class(self, client: httpx.Client) -> None:
        found = client.post("/models/m/explain", json={"rows": ROWS[:3]}).json()
        assert found["scale"] == "score"
        assert list(found["base"]) == CLASSES
        assert found["predictions"] == predict(client, *ROWS[:3]).json()["predictions"]
        assert [list(row) for row in found["probabilities"]] == [CLASSES] * 3

    def test_a_label_is_a_class_and_another_one_is_refused(self, client: httpx.Client) -> None:
        answered = client.post(
            "/models/m/feedback",
            json={"labels": [{"request_id": "a", "label": "storm"}, {"request_id": "a", "label": 1}]},
        )
        assert answered.status_code == 422
        assert answered.json()["row"] == 1
        assert "one of calm, windy, storm" in answered.json()["error"]
        good = client.post("/models/m/feedback", json={"labels": [{"request_id": "a", "label": "storm"}]})
        assert (good.status_code, good.json()["accepted"]) == (200, 1)

    def test_verification_compares_every_probability(self, client: httpx.Client, model: TabularModel) -> None:
        inputs = [{name: row[name] for name in model.columns} for row in ROWS]
        expected = model.predict_rows(inputs)
        with LiveServer(str(client.base_url), "m", seconds=10) as server:
            assert server.verify(1, inputs, expected).differences == []
            expected[7] = [expected[7][0], expected[7][2], expected[7][1]]
            found = server.verify(1, inputs, expected).differences
        assert {difference.row for difference in found} == {7}
        assert orjson.loads(orjson.dumps(found[0].to_document()))["expected"] == expected[7]

    def test_answers_and_labels_become_evidence(
        self, client: httpx.Client, stored_settings: Settings, model: TabularModel
    ) -> None:
        asked = [client.post("/models/m/predict", json={"rows": [row]}).json() for row in ROWS[:5]]
        labels = [{"request_id": one["request_id"], "label": "windy"} for one in asked]
        assert client.post("/models/m/feedback", json={"labels": labels}).status_code == 200
        expected = model.predict_rows([{name: row[name] for name in model.columns} for row in ROWS[:5]])
        log = open_log(stored_settings)
        for one in logged_answers(stored_settings, 5):
            base = {"id": one["id"], "model": "m", "version": 2, "role": "shadow", "revision": 1, "at": one["at"]}
            scores = (
                [[0, [*one["predictions"][0][:2], None], 9, 9, None]]
                if one["id"] == asked[4]["request_id"]
                else [[0, [0.1, 0.2, 0.7], 9, 9, None]]
            )
            log.shadow({**base, "deployment": "d", "count": 1, "classes": CLASSES, "scores": scores})
        log.close()
        compactor = Compactor(without_suites(stored_settings))
        until(lambda: bool(compactor.run()) and len(logged(stored_settings, "label", table="feedback")) == 5)
        found = logged(stored_settings, "request_id, prediction, predicted_class, probabilities, version")
        mine = [row for row in found if row["version"] == 1]
        by_request = {row["request_id"]: row["probabilities"] for row in mine}
        assert [by_request[one["request_id"]] for one in asked] == expected
        assert all(row["predicted_class"] == CLASSES[int(row["prediction"])] for row in mine)
        assert logged(stored_settings, "label", table="feedback") == [1.0] * 5
        evidence = read_evidence(stored_settings, challenger(classes=4), now=datetime.now(UTC))
        assert evidence.rows.challenger.shape == (5, 4)
        assert evidence.rows.requests == 4  # one score was not finite
        assert evidence.labelled.labels.tolist() == [1.0] * 4
        assert evidence.labelled.challenger.tolist() == [[0.1, 0.2, 0.7, 0.0]] * 4


def logged_answers(settings: Settings, count: int) -> list[dict[str, Any]]:
    """The newest answers in the segments, as they were written."""
    from include.serving.request_log import segments

    found = [
        orjson.loads(data)
        for segment in segments.list_segments(segments.log_folder(settings.home))
        for _, data in segments.read_lines(segment)
        if b'"kind":"answer"' in data
    ]
    return sorted(found, key=lambda one: one["at"])[-count:]


def challenger(classes: int) -> DeployedVersion:
    """A challenger whose plan names so many classes: the newest is not known to any version yet."""
    began = datetime.now(UTC) - timedelta(hours=1)
    plan = {"started_at": began.isoformat(), "champion": 1, "classes": [f"c{number}" for number in range(classes)]}
    made: Any = type("Deployed", (), {"model": "m", "version": 2, "plan": plan, "since": began, "role": "shadow"})()
    return made  # type: ignore[no-any-return]


def test_a_logged_answer_becomes_a_class_and_a_broken_one_is_set_aside() -> None:
    of = Shape(model="m", version=1, columns={}, classes=("calm", "windy", "storm"))
    base = {"id": "r", "model": "m", "version": 1, "role": "champion", "revision": 1, "at": 5, "asked": False,
            "protocol": "rows", "latency": 1, "deployment": None, "count": 2}  # fmt: skip
    good = {**base, "kind": ANSWER, "predictions": PROBABILITIES, "rows": [[], []]}
    odd = {**good, "predictions": [[0.5, 0.5], 0.3]}
    scored = {**base, "kind": SHADOW, "classes": CLASSES, "scores": [[0, PROBABILITIES[1], 1, 1, None]], "version": 2}
    made = inference_tables(
        [LoggedRecord("s", 1, good, of), LoggedRecord("s", 2, odd, of), LoggedRecord("s", 3, scored)],
        Hashing(b"k"), {},
    )  # fmt: skip
    assert made.by_version[1].select(["prediction", "predicted_class", "probabilities"]).to_pylist() == [
        {"prediction": 1.0, "predicted_class": "windy", "probabilities": PROBABILITIES[0]},
        {"prediction": 0.0, "predicted_class": "calm", "probabilities": PROBABILITIES[1]},
    ]
    assert made.by_version[2]["predicted_class"].to_pylist() == ["calm"]
    [(item, reason)] = made.odd
    assert (item.end, "not one probability for each of 3 classes" in reason) == (2, True)


def test_a_log_of_numbers_has_no_columns_of_classes(settings: Settings) -> None:
    here = without_suites(settings)
    log = open_log(here)
    answer(log, "r")
    log.close()
    assert Compactor(here).run()
    assert "probabilities" not in logged(here)[0]
    several = shape(2, classes=("calm", "windy", "storm"))
    log = open_log(here)
    answer(log, "s", of=several, predictions=[PROBABILITIES[0]])
    log.close()
    assert Compactor(here).run()
    assert [row["predicted_class"] for row in logged(here)] == [None, "windy"]


def test_binary_outputs_are_asked_for_one_by_one() -> None:
    body = {"inputs": [{"name": "x", "datatype": "FP64", "shape": [2], "data": [1.0, 2.0]}]}
    body["outputs"] = [{"name": "probabilities", "parameters": {"binary_data": True}}, {"name": "prediction"}]  # type: ignore[assignment]
    from include.serving.limits import Limits

    call = V2.decode(orjson.dumps(body), {}, {"x": "number"}, Limits())
    found = V2.encode(call, PROBABILITIES, model="m", version=1, request_id="r", classes=CLASSES)
    length = int(dict(found.headers)[b"inference-header-content-length"])
    first, second = orjson.loads(found.body[:length])["outputs"]
    assert (first["name"], first["parameters"], second["data"]) == (
        "probabilities",
        {"binary_data_size": 48},
        ["windy", "calm"],
    )
    assert list(struct.unpack("<6d", found.body[length:])) == [*PROBABILITIES[0], *PROBABILITIES[1]]
    with pytest.raises(RequestRefused, match="there is: prediction\\."):
        V2.encode(call, [0.1, 0.2], model="m", version=1, request_id="r")
    assert model_metadata("m", [1], {"x": "number"})["outputs"] == [
        {"name": "prediction", "datatype": "FP64", "shape": [-1]}
    ]


@pytest.mark.parametrize(("given", "kept"), [("storm", 2.0), ("calm", 0.0), (7, 3.0), (True, 4.0)])
def test_a_label_is_kept_as_its_classs_place(given: Any, kept: float) -> None:
    from include.serving.limits import Limits

    body = orjson.dumps({"labels": [{"request_id": "a", "label": given}]})
    headers = {b"content-type": b"application/json"}
    found = feedback.decode(body, headers, {}, Limits(), classes=(*CLASSES, "7", "true"))
    assert [label.label for label in found] == [kept]


@pytest.mark.parametrize("answers", [[[0.5, 0.5, float("nan")]], [[0.5, 0.5]], [0.5], [[1, 0, 0]]])
def test_a_challengers_answer_that_is_none_is_its_failure(answers: Any) -> None:
    description = {"columns": {"x": "number"}, "classes": CLASSES}
    packaged = type("Packaged", (), {"columns": description["columns"], "description": description,
                                     "InputError": KeyError, "predict_rows": lambda *_: answers})()  # fmt: skip
    deployed: Any = type("Deployed", (), {"model": "m", "version": 1})()
    loaded = LoadedModel(deployed, packaged)
    assert loaded.classes == tuple(CLASSES)
    with pytest.raises(ModelFailed):
        loaded.check_finite(loaded.predict(Call(1, [{"x": 1.0}])))
    loaded.check_finite(PROBABILITIES)


def test_a_shape_without_classes_says_nothing_of_them() -> None:
    plain = shape()
    assert b"classes" not in plain.line
    several = replace(plain, classes=("a", "b", "c"))
    assert Shape.read(orjson.loads(several.line)).classes == ("a", "b", "c")
