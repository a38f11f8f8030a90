"""``<model>.score``: its form, its schedule, and what its tasks hand on."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.sdk.exceptions import ParamValidationError

from include.settings import PROJECT


@pytest.fixture(scope="module")
def dag() -> DAG:
    return DagBag(dag_folder=str(PROJECT / "dags" / "flight_delay.py")).dags["flight_delay.score"]


@pytest.mark.parametrize(
    ("param", "good", "bad"),
    [
        ("version", None, 0),
        ("version", 3, "three"),
        ("first", "2013-10-01", "2013-10"),
        ("last", None, "01.10.2013"),
        ("path", "landing/new/*.parquet", ""),
        ("path", None, 7),
        ("force", True, "yes"),
        ("as_of", "2013-10-01T00:00:00-04:00", "yesterday"),
    ],
)
def test_the_form_takes_good_values_and_refuses_bad_ones(dag: DAG, param: str, good: object, bad: object) -> None:
    field = copy.copy(dag.params.get_param(param))
    assert field.resolve(good) == good
    with pytest.raises(ParamValidationError):
        field.resolve(bad)


def test_everything_may_be_left_empty(dag: DAG) -> None:
    assert dag.params.validate() == {
        "as_of": None, "version": None, "first": None, "last": None, "path": None, "force": False,
    }  # fmt: skip


def test_the_version_is_settled_before_and_outside_of_what_may_be_tried_again(dag: DAG) -> None:
    score = dag.get_task("score")
    assert score.upstream_task_ids == {"choose"}
    assert "chosen" in score.inputs
    assert "version" not in score.from_params
    assert score.pool == "noria_data"
    assert dag.max_active_runs == 1


def test_it_runs_by_itself_only_if_the_definition_says_when(
    dag: DAG, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dag.schedule is None
    definition = (PROJECT / "include" / "models" / "flight_delay.yaml").read_text()
    (tmp_path / "flight_delay.yaml").write_text(definition.replace("schedule: {", 'schedule: {score: "30 3 * * *", '))
    monkeypatch.setenv("NORIA_MODELS", str(tmp_path))
    bag = DagBag(dag_folder=str(PROJECT / "dags" / "flight_delay.py"))
    assert bag.import_errors == {}
    timetable = bag.dags["flight_delay.score"].timetable
    assert (timetable.expression, str(timetable.timezone)) == ("30 3 * * *", "America/New_York")
