"""What parsing costs: forms are not copied, only what changed is another DAG, other models' files stay closed."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.models.serialized_dag import SerializedDagModel
from airflow.serialization.serialized_objects import DagSerialization

from include.settings import PROJECT, Settings
from include.spec.families import FAMILIES
from include.spec.loader import list_definitions
from plugins.definitions import arrangement_of
from tests.dags.test_dags import PROJECT_DAGS

FOLDER_LISTED = frozenset({"os.listdir", "os.scandir", "glob.glob", "glob.glob/2", "pathlib.Path.glob"})


@pytest.fixture(scope="module")
def bag() -> DagBag:
    return DagBag(dag_folder=str(PROJECT / "dags"))


def test_forms_belong_to_dags_and_no_task_keeps_a_copy_of_their_fields(bag: DagBag) -> None:
    for dag in bag.dags.values():
        if dag.dag_id not in PROJECT_DAGS:
            assert "as_of" in dag.params
            assert {name for task in dag.tasks for name in task.params} <= {"note"}, "its own, of the approval"


def test_a_dag_with_a_schedule_has_a_form_that_is_valid_as_it_is(bag: DagBag) -> None:
    for dag in bag.dags.values():
        if dag.schedule is not None:
            dag.params.validate()


def test_a_changed_definition_changes_the_serialized_dags_of_its_own_model_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(PROJECT / "include" / "models", tmp_path / "models")
    monkeypatch.setenv("NORIA_MODELS", str(tmp_path / "models"))
    before = hashes()
    assert hashes() == before, "the same definitions give the same DAGs"
    changed = tmp_path / "models" / "bike_demand.yaml"
    changed.write_text(re.sub(r"(?m)^owner: .*$", "owner: somebody-else", changed.read_text()))
    after = hashes()
    assert {name for name in before if before[name] != after[name]} == {f"bike_demand.{family}" for family in FAMILIES}


def hashes() -> dict[str, str]:
    """By which Airflow tells whether a DAG is another one than before."""
    bag = DagBag(dag_folder=str(PROJECT / "dags"))
    assert bag.import_errors == {}
    return {name: SerializedDagModel.hash(DagSerialization.to_dict(dag)) for name, dag in bag.dags.items()}


def test_a_models_own_parse_looks_at_no_other_models_definition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(PROJECT / "include" / "models" / "flight_delay.yaml", tmp_path)
    monkeypatch.setenv("NORIA_MODELS", str(tmp_path))
    looked: list[str] = []

    def hear(event: str, seen: tuple[object, ...]) -> None:
        if event in FOLDER_LISTED and str(tmp_path) in str(seen):
            looked.append(event)

    sys.addaudithook(hear)
    arrangement_of(Settings.from_environment(), "flight_delay", expressions=True)
    assert list(looked) == []
    list_definitions(Settings.from_environment())
    assert looked, "the hook sees a listing"
