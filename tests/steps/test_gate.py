"""The gate step on all four stages: what it writes before it refuses, and what travels on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from include.errors import Refused
from include.gates import GateBroken, SuiteError
from include.gates.errors import GateRefused
from include.lake.staging import StagedPartition, new_manifest, read_manifest, write_manifest
from include.registry.database import ensure_schema
from include.registry.results import find_checks
from include.settings import Settings
from include.spec.definition import Definition
from include.spec.loader import load_definition
from include.steps import gate
from include.steps.protocol import StepCall
from include.training.predictions import stage_predictions

pytestmark = pytest.mark.database

AS_OF = datetime(2013, 3, 4, tzinfo=UTC)
DEFINITION = {
    "model": "tiny",
    "description": "A small model.",
    "owner": "tests",
    "task": "regression",
    "source": {
        "type": "files",
        "path": "{store}/landing/{partition}.parquet",
        "starts": "2013-03-01",
        "event_time": "at",
        "entity": ["id"],
        "columns": {"id": "integer", "at": "timestamp", "x": "number", "y": "number"},
    },
    "label": {"expression": "y"},
    "features": {"double": "2 * x"},
    "training": {"window": "2d", "validation": "1d", "holdout": "1d"},
    "evaluation": {"metrics": ["rmse"], "gates": [{"metric": "r2", "at_least": 0.1}]},
}
RANGES = {"raw": "x", "features": "feature_double", "training": "label", "predictions": "prediction"}


@pytest.fixture
def settings(stored_settings: Settings, tmp_path: Path) -> Settings:
    ensure_schema(stored_settings.database_url)
    settings = replace(stored_settings, models=tmp_path / "models", expectations=tmp_path / "expectations")
    settings.models.mkdir()
    (settings.models / "tiny.yaml").write_text(yaml.safe_dump(DEFINITION))
    for stage, column in RANGES.items():
        write_suite(settings, stage, {"column": column, "min_value": 0})
    return settings


def write_suite(settings: Settings, stage: str, kwargs: dict[str, Any], severity: str = "critical") -> None:
    expectation = {"type": "expect_column_values_to_be_between", "kwargs": kwargs, "severity": severity}
    path = settings.expectations / "tiny" / f"{stage}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"name": f"tiny.{stage}", "expectations": [expectation | {"meta": {"notes": "It matters."}}]}
    path.write_text(json.dumps(document))


def rows(*values: float) -> pd.DataFrame:
    frame = pd.DataFrame({"x": values}).rename_axis("_row").reset_index()
    at = pd.Timestamp("2013-03-01")
    return frame.assign(id=frame._row, at=at, feature_double=2 * frame.x, label=frame.x, prediction=frame.x)


@pytest.fixture
def run(settings: Settings) -> Callable[..., Any]:
    definition: Definition = load_definition(settings.models / "tiny.yaml")

    def go(**inputs: Any) -> Any:
        return gate.run(StepCall(settings=settings, definition=definition, as_of=AS_OF, attempt="a1", inputs=inputs))

    return go


def staged(settings: Settings, table: str = "raw", **days: pd.DataFrame | str | None) -> dict[str, Any]:
    """Stage days (``d01=frame``); a text means refused by ingest, None means missing."""
    partitions = []
    for name, data in days.items():
        key = f"2013-03-{name[1:]}"
        if isinstance(data, pd.DataFrame):
            path = settings.store / "staging" / f"{table}-{key}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            data.to_parquet(path, index=False)
            relative = path.relative_to(settings.store).as_posix()
            partitions.append(StagedPartition(key=key, status="staged", path=relative, rows=len(data), digest="d" * 32))
        elif data is None:
            partitions.append(StagedPartition(key=key, status="missing", problem=f"{key} has not arrived."))
        else:
            source = settings.store / "landing" / f"{key}.parquet"
            source.parent.mkdir(parents=True, exist_ok=True)
            source.write_bytes(b"not parquet")
            partitions.append(StagedPartition(key=key, status="refused", problem=data, source=str(source)))
    manifest = new_manifest(model="tiny", table=table, attempt="a1", as_of=AS_OF, partitions=partitions)
    return write_manifest(settings, manifest)


def test_good_partitions_go_on_with_a_gated_manifest_a_page_and_a_row(settings: Settings, run: Any) -> None:
    output = run(stage="raw", staged=staged(settings, d01=rows(1, 2), d02=rows(3)))
    assert output | {"staged": None} == {
        "stage": "raw",
        "verdict": "passed",
        "staged": None,
        "accepted": 2,
        "refused": [],
        "warnings": 0,
        "page": "reports/tiny/gates/raw/2013-03-01_to_2013-03-02.html",
    }
    gated = read_manifest(settings, output["staged"])
    assert gated.gate is not None
    assert gated.gate["verdict"] == "passed"
    assert "Passed" in (settings.store / output["page"]).read_text()
    [row] = find_checks(settings, "tiny", kind="gate")
    assert (row.stage, row.subject, row.verdict, row.page) == (
        "raw",
        "2013-03-01 to 2013-03-02",
        "passed",
        output["page"],
    )


def test_a_bad_partition_is_refused_whole_and_quarantined_while_others_go_on(settings: Settings, run: Any) -> None:
    output = run(stage="raw", staged=staged(settings, d01=rows(1, 2), d02=rows(3, -4, 5), d03="broken file"))
    assert (output["verdict"], output["accepted"], output["refused"]) == ("partly", 1, ["2013-03-02", "2013-03-03"])
    gated = read_manifest(settings, output["staged"])
    assert [partition.key for partition in gated.accepted] == ["2013-03-01"]
    assert "1 of 3 rows" in (gated.partitions[1].problem or "")
    bad = settings.store / "quarantine" / "tiny" / "2013-03-02"
    assert len(pd.read_parquet(bad / "rows.parquet")) == 3
    assert json.loads((bad / "gate.json").read_text())["gate"]["checks"][0]["samples"] == [{"id": 1, "x": -4.0}]
    assert "<td>-4</td>" in (bad / "page.html").read_text()
    unreadable = settings.store / "quarantine" / "tiny" / "2013-03-03"
    assert (unreadable / "source.parquet").read_bytes() == b"not parquet"
    assert "broken file" in (unreadable / "page.html").read_text()
    assert {row.subject for row in find_checks(settings, "tiny") if row.verdict == "refused"} == set(output["refused"])


def test_when_nothing_is_accepted_everything_is_written_before_the_refusal(settings: Settings, run: Any) -> None:
    with pytest.raises(GateRefused, match=r"raw gate refused 2013-03-02: .*found: 1 of 1 rows") as caught:
        run(stage="raw", staged=staged(settings, d02=rows(-1)))
    assert isinstance(caught.value, Refused)
    assert caught.value.page.is_file()
    assert (settings.store / "quarantine/tiny/2013-03-02/page.html").is_file()
    assert [row.verdict for row in find_checks(settings, "tiny")] == ["refused"]


def test_only_missing_partitions_are_a_refusal_that_says_so(settings: Settings, run: Any) -> None:
    with pytest.raises(GateRefused, match="has not arrived"):
        run(stage="raw", staged=staged(settings, d02=None))


def test_a_missing_partition_beside_good_ones_is_no_refusal(settings: Settings, run: Any) -> None:
    output = run(stage="raw", staged=staged(settings, d01=rows(1), d02=None))
    assert (output["verdict"], output["refused"]) == ("passed", [])
    assert "2013-03-02 has not arrived." in (settings.store / output["page"]).read_text()


def test_running_again_writes_the_same_files(settings: Settings, run: Any) -> None:
    reference = staged(settings, d01=rows(1), d02=rows(-1))

    def files() -> dict[str, bytes]:
        found = (path for part in ("reports", "quarantine") for path in (settings.store / part).rglob("*"))
        return {str(path): path.read_bytes() for path in found if path.is_file()}

    first, before = run(stage="raw", staged=reference), files()
    second, after = run(stage="raw", staged=reference), files()
    assert first == second
    assert before == after


def test_a_corrected_partition_marks_its_quarantine_as_resolved(settings: Settings, run: Any) -> None:
    run(stage="raw", staged=staged(settings, d01=rows(1), d02=rows(-1)))
    run(stage="raw", staged=staged(settings, d01=rows(1), d02=rows(1)))
    assert (settings.store / "quarantine/tiny/2013-03-02/resolved.json").is_file()
    run(stage="raw", staged=staged(settings, d01=rows(1), d02=rows(-1)))
    assert not (settings.store / "quarantine/tiny/2013-03-02/resolved.json").exists()


def test_warnings_are_counted_and_block_nothing(settings: Settings, run: Any) -> None:
    write_suite(settings, "raw", {"column": "x", "min_value": 0}, severity="warning")
    output = run(stage="raw", staged=staged(settings, d01=rows(-1)))
    assert (output["verdict"], output["warnings"]) == ("passed", 1)


def test_features_are_judged_by_their_own_suite(settings: Settings, run: Any) -> None:
    output = run(stage="features", staged=staged(settings, "features", d01=rows(1), d02=rows(-1)))
    assert output["refused"] == ["2013-03-02"]
    with pytest.raises(Refused, match="output of the step that stages features"):
        run(stage="features", staged=staged(settings, "raw", d01=rows(1)))


def test_a_column_that_the_data_lacks_refuses_it(settings: Settings, run: Any) -> None:
    with pytest.raises(GateRefused, match="the column x is missing"):
        run(stage="raw", staged=staged(settings, d01=rows(1).drop(columns="x")))


def test_a_typing_error_in_the_suite_is_no_verdict_on_the_data(settings: Settings, run: Any) -> None:
    write_suite(settings, "raw", {"column": "xx", "min_value": 0})
    with pytest.raises(SuiteError, match="no column 'xx'"):
        run(stage="raw", staged=staged(settings, d01=rows(1)))
    assert find_checks(settings, "tiny") == []
    assert not (settings.store / "quarantine").exists()


def test_a_damaged_staged_file_breaks_the_gate_and_refuses_nothing(settings: Settings, run: Any) -> None:
    reference = staged(settings, d01=rows(1))
    next((settings.store / "staging").glob("*.parquet")).write_bytes(b"PAR1")
    with pytest.raises(GateBroken, match="says nothing about the data"):
        run(stage="raw", staged=reference)
    assert find_checks(settings, "tiny") == []


def training_set(settings: Settings, **parts: pd.DataFrame) -> dict[str, Any]:
    directory = settings.store / "training" / "tiny" / "abc"
    directory.mkdir(parents=True, exist_ok=True)
    for part, frame in parts.items():
        frame.to_parquet(directory / f"{part}.parquet", index=False)
    return {"directory": "training/tiny/abc"}


def test_a_training_set_is_judged_whole(settings: Settings, run: Any) -> None:
    good = training_set(settings, train=rows(1, 2), validation=rows(3), holdout=rows(4))
    output = run(stage="training", training_set=good)
    assert output == {
        "stage": "training",
        "verdict": "passed",
        "warnings": 0,
        "page": "reports/tiny/gates/training/2013-03-04T000000Z.html",
    }
    with pytest.raises(GateRefused, match="refused the training set"):
        run(stage="training", training_set=training_set(settings, holdout=rows(-4)))
    assert "Refused" in (settings.store / output["page"]).read_text()


def predicted(settings: Settings, *values: float) -> dict[str, Any]:
    """A training's outputs, as far as the gate reads them, with these predictions staged."""
    path = settings.store / "predictions.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows(*values).assign(partition="2013-03-01").to_parquet(path, index=False)
    outputs = {"fingerprint": "ab" * 32, "artifact_digest": "a", "training_set": {"digest": "t"}}
    outputs["predictions"] = "predictions.parquet"
    return {"staged": stage_predictions(settings, "tiny", AS_OF, outputs, attempt="a1", suite_digest="s")}


def test_predictions_are_judged_whole_and_go_on_with_a_gated_manifest(settings: Settings, run: Any) -> None:
    output = run(stage="predictions", training=predicted(settings, 1, 2))
    assert output | {"staged": None} == {
        "stage": "predictions",
        "verdict": "passed",
        "warnings": 0,
        "page": "reports/tiny/gates/predictions/2013-03-04T000000Z.html",
        "staged": None,
    }
    gated = read_manifest(settings, output["staged"])
    assert gated.gate is not None
    assert (gated.table, gated.gate["verdict"], gated.gate["page"]) == ("predictions", "passed", output["page"])
    assert [(partition.key, partition.rows) for partition in gated.accepted] == [("ab" * 8, 2)]
    with pytest.raises(Refused, match="output of the step that stages predictions"):
        run(stage="predictions", training={"staged": staged(settings, d01=rows(1))})


def test_refused_predictions_are_quarantined_as_a_whole_and_leave_no_gated_manifest(
    settings: Settings, run: Any
) -> None:
    training = predicted(settings, 1, -2)
    with pytest.raises(GateRefused, match="predictions gate refused the holdout predictions") as caught:
        run(stage="predictions", training=training)
    folder = settings.store / "quarantine" / "tiny" / ("ab" * 8)
    assert pd.read_parquet(folder / "rows.parquet").prediction.tolist() == [1, -2]
    sample = json.loads((folder / "gate.json").read_text())["gate"]["checks"][0]["samples"]
    assert sample == [{"partition": "2013-03-01", "_row": 1, "prediction": -2.0}]
    assert str(folder / "rows.parquet") in caught.value.page.read_text()
    assert str(folder / "rows.parquet") in (folder / "page.html").read_text()
    assert not (settings.store / training["staged"]["manifest"]).with_name("gated.json").exists()
    assert [row.verdict for row in find_checks(settings, "tiny")] == ["refused"]


def test_an_unknown_stage_is_refused(run: Any) -> None:
    with pytest.raises(SuiteError, match="The stages are"):
        run(stage="nonsense")
