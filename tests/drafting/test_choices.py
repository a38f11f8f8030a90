"""What a draft takes the columns for, and what it says of a file from which none can be made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from include.drafting.__main__ import ModelExists, NameRefused, ZoneRefused, main, make_draft, summary, write_draft
from include.drafting.definition_text import Draft
from include.drafting.sample import SampleUnusable
from include.settings import Settings
from include.spec.loader import load_definition
from tests.drafting.factories import empty_project, parcels, write


@pytest.fixture
def project(settings: Settings, tmp_path: Path) -> Settings:
    return empty_project(settings, tmp_path / "project")


def drafted(project: Settings, frame: pd.DataFrame, folder: Path, name: str = "sample.parquet", **given: str) -> Draft:
    return make_draft(project, "late_parcels", write(frame, folder / name), **given)


@pytest.mark.parametrize("name", ["sample.csv", "sample.parquet"])
def test_a_draft_names_time_key_label_and_what_gives_the_answer_away(
    project: Settings, tmp_path: Path, name: str
) -> None:
    draft = drafted(project, parcels(), tmp_path, name)
    assert (draft.time.name, draft.entity, draft.cut.size) == ("sent_at", ["parcel"], "day")
    assert (draft.label.expression, draft.label.task) == ("late", "binary_classification")
    assert {leak.column for leak in draft.leaks} == {"arrived_at", "refund", "complaint"}
    assert {leak.column for leak in draft.without} == {"parcel", "country", "note"}
    assert {feature.name: feature.type for feature in draft.features} == {
        "hour": "numeric", "weekday": "numeric", "month": "numeric",
        "service": "category", "weight": "numeric", "insured": "boolean",
    }  # fmt: skip
    reasons = {leak.column: leak.reason for leak in draft.leaks}
    assert reasons["arrived_at"] == "in 100% of the rows it lies after sent_at, so it was not known then"
    assert "whether it is missing predicts late" in reasons["complaint"]


def test_what_is_named_is_taken(project: Settings, tmp_path: Path) -> None:
    draft = drafted(project, parcels(), tmp_path, label="weight", time="arrived_at")
    assert (draft.label.expression, draft.label.task, draft.time.name) == ("weight", "regression", "arrived_at")


@pytest.mark.parametrize(
    ("values", "expression"),
    [
        (np.where(np.arange(4000) % 5 == 0, "yes", "no"), "target = 'yes'"),
        (np.arange(4000) % 5 // 4, "target = 1"),
        (np.where(np.arange(4000) % 5 == 0, 7, 3), "target = 7"),
    ],
)
def test_a_label_of_two_values_becomes_a_question(
    project: Settings, tmp_path: Path, values: np.ndarray, expression: str
) -> None:
    draft = drafted(project, parcels(target=values), tmp_path)
    assert (draft.label.expression, draft.label.task) == (expression, "binary_classification")


def test_names_that_sql_or_yaml_reads_otherwise_are_quoted_and_the_definition_is_sound(
    project: Settings, tmp_path: Path
) -> None:
    odd = parcels().rename(columns={"weight": "Net weight (kg)", "service": "order", "insured": "yes"})
    odd = odd.assign(**{"Net-weight kg": odd["Net weight (kg)"] * 2})
    draft = drafted(project, odd, tmp_path)
    [path, *_] = write_draft(project, draft)
    definition = load_definition(path)
    assert definition.features["order"].expression == '"order"'
    assert definition.features["net_weight__kg"].expression == '"Net weight (kg)"'
    assert definition.source.columns["yes"] == "boolean"
    assert len({name.lower() for name in definition.features}) == len(draft.features)


@pytest.mark.parametrize(("rows", "days", "size"), [(4000, 3, "hour"), (4000, 40, "day"), (900, 900, "month")])
def test_partitions_hold_some_rows_each_and_the_windows_fit(
    project: Settings, tmp_path: Path, rows: int, days: int, size: str
) -> None:
    draft = drafted(project, parcels(rows, days), tmp_path)
    assert draft.cut.size == size
    [path, *_] = write_draft(project, draft)
    load_definition(path)  # which refuses windows that an archive does not hold
    assert draft.cut.window > draft.cut.holdout > draft.cut.validation


@pytest.mark.parametrize(
    ("change", "given", "words"),
    [
        (lambda f: f.drop(columns=["sent_at", "arrived_at"]).head(199), {}, "its 199 rows are too few to be split"),
        (lambda f: f[["weight", "refund"]].dropna(), {"label": "weight"}, "no column names its rows"),
        (lambda f: f, {"time": "weight"}, "'weight' is no column with times"),
        (
            lambda f: f.assign(sent_at=f["sent_at"].where(f.index > 3)),
            {"time": "sent_at"},
            "sent_at is missing in some",
        ),
        (lambda f: f, {"label": "note"}, "'note' is neither a number nor a yes or no"),
        (lambda f: f.head(0), {}, "it has no rows"),
        (lambda f: f[f["sent_at"] < "2025-03-01T05:00"], {}, "its rows lie in 5 hours"),
    ],
)
def test_a_sample_of_which_nothing_can_be_made_is_refused_with_the_cure(
    project: Settings, tmp_path: Path, change: object, given: dict[str, str], words: str
) -> None:
    assert callable(change)
    with pytest.raises(SampleUnusable, match=words) as caught:
        drafted(project, change(parcels()), tmp_path, **given)
    assert str(caught.value).startswith(str(tmp_path / "sample.parquet"))


def test_a_file_that_is_none_is_refused(project: Settings, tmp_path: Path) -> None:
    with pytest.raises(SampleUnusable, match="there is no such file"):
        make_draft(project, "m", tmp_path / "nothing.csv")
    (tmp_path / "broken.parquet").write_bytes(b"no parquet")
    with pytest.raises(SampleUnusable, match="not a complete Parquet file"):
        make_draft(project, "m", tmp_path / "broken.parquet")


def test_nothing_is_overwritten_and_then_nothing_is_written(project: Settings, tmp_path: Path) -> None:
    draft = drafted(project, parcels(), tmp_path)
    suite = project.expectations / "late_parcels" / "training.json"
    suite.parent.mkdir()
    suite.write_text("mine")
    with pytest.raises(ModelExists, match="nothing was written"):
        write_draft(project, draft)
    assert suite.read_text() == "mine"
    assert not list(project.models.iterdir())


def test_a_name_that_no_model_can_have_is_refused(project: Settings, tmp_path: Path) -> None:
    with pytest.raises(NameRefused, match="such as NAME=late_parcels"):
        make_draft(project, "Late Parcels", write(parcels(), tmp_path / "sample.csv"))


def test_a_time_zone_that_is_none_is_refused_before_anything_is_written(project: Settings, tmp_path: Path) -> None:
    with pytest.raises(ZoneRefused, match="ZONE=Europe/Berlin"):
        drafted(project, parcels(), tmp_path, zone="Europe/Berln")


def test_columns_are_typed_as_the_data_step_will_read_them(project: Settings, tmp_path: Path) -> None:
    odd = parcels(
        dropped_on=pd.Series(
            ["25/03/2025 10:00"] * 2000 + ["26/03/2025 11:00"] * 2000
        ),  # no form that is read as a time
        tags=[["a", "b"]] * 4000,
        opened=pd.Series(pd.date_range("2025-03-01", periods=4000, freq="10min")).dt.time,
    )
    as_csv = drafted(project, odd.drop(columns=["tags", "opened"]), tmp_path, "sample.csv")
    assert as_csv.sample.columns["dropped_on"].type == "string"
    as_parquet = drafted(project, odd, tmp_path)
    assert as_parquet.sample.unreadable == ("tags", "opened")
    assert {left.column for left in as_parquet.without} >= {"tags", "opened"}


def test_times_with_an_offset_are_cut_on_the_clock_of_the_zone(project: Settings, tmp_path: Path) -> None:
    sent = parcels()["sent_at"]
    aware = parcels(sent_at=sent.dt.tz_localize("UTC"), arrived_at=sent)
    draft = drafted(project, aware, tmp_path, time="sent_at", zone="Asia/Tokyo")
    assert draft.time.low == (sent.min() + pd.Timedelta(hours=9)).to_pydatetime()


def test_the_command_says_what_it_drafted_and_what_to_do_next(
    project: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, folder in (("NORIA_MODELS", project.models), ("NORIA_EXPECTATIONS", project.expectations)):
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setenv("NORIA_HOME", str(project.home))
    arguments = ["--name", "late_parcels", "--from", str(write(parcels(), tmp_path / "sample.csv"))]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "It predicts late (binary_classification) from 6 features." in said
    assert "refund: it alone predicts late almost perfectly" in said
    assert "make run MODEL=late_parcels" in said
    assert main(arguments) == 10
    assert "is there already" in capsys.readouterr().err


def test_a_label_of_a_few_texts_becomes_classes_and_its_draft_is_sound(project: Settings, tmp_path: Path) -> None:
    frame = parcels()
    damage = np.where(frame["weight"] > frame["weight"].median(), "none", "some")
    frame["outcome"] = np.where(np.arange(len(frame)) % 7 == 0, "lost", damage)
    draft = drafted(project, frame.drop(columns="late"), tmp_path)
    assert (draft.label.task, draft.label.classes) == ("multiclass_classification", ("lost", "none", "some"))
    write_draft(project, draft)
    definition = load_definition(project.models / "late_parcels.yaml")
    assert definition.label.class_names == ("lost", "none", "some")
    assert definition.evaluation.metrics == ["log_loss", "roc_auc", "macro_f1"]
    predictions = (project.expectations / "late_parcels" / "predictions.json").read_text()
    assert "probability_lost" in predictions
    assert "[0, 1, 2]" in " ".join(predictions.split())


def test_a_text_column_is_a_label_only_if_it_is_named_so(project: Settings, tmp_path: Path) -> None:
    assert drafted(project, parcels(), tmp_path, label="service").label.task == "multiclass_classification"
    frame = parcels()[["parcel", "sent_at", "weight", "service"]]
    assert drafted(project, frame, tmp_path).label.column != "service"


def test_a_sample_without_times_becomes_a_definition_without_time(project: Settings, tmp_path: Path) -> None:
    draft = drafted(project, parcels().drop(columns=["sent_at", "arrived_at"]), tmp_path)
    assert (draft.time, draft.cut, draft.entity) == (None, None, ["parcel"])
    assert [feature.name for feature in draft.features] == ["service", "weight", "insured"]
    assert {leak.column for leak in draft.leaks} == {"refund", "complaint"}
    [path, *_] = write_draft(project, draft)
    definition = load_definition(path)
    assert not definition.source.has_time
    assert (str(definition.training.validation), str(definition.training.holdout)) == ("15%", "20%")
    assert "a hash of the entity splits the rows" in summary(draft, [path])
