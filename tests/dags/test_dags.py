"""The DAGs: all are there, tied as they must be, with forms that validate; a broken definition harms only its own."""

from __future__ import annotations

import copy
import itertools
import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.sdk.exceptions import ParamValidationError

from include.settings import PROJECT
from include.spec.families import FAMILIES
from plugins.notifiers.runs import FailureNotifier, NewsNotifier
from plugins.operators.step import StepOperator

MODELS = sorted(path.stem for path in (PROJECT / "include" / "models").glob("*.yaml"))
ALERTS = "noria_alerts"
RETIREMENTS = "noria_retirements"
PROJECT_DAGS = (ALERTS, RETIREMENTS)


@pytest.fixture(scope="module")
def bag() -> DagBag:
    return DagBag(dag_folder=str(PROJECT / "dags"))


@pytest.fixture(scope="module")
def dag(bag: DagBag) -> DAG:
    return bag.dags["flight_delay.train"]


def test_every_model_has_every_family_and_nothing_else_is_read(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert sorted(bag.dags) == sorted(
        [*PROJECT_DAGS, *(f"{model}.{family}" for model in MODELS for family in FAMILIES)]
    )


def test_every_task_has_the_definitions_owner_retries_timeout_and_a_doc(bag: DagBag) -> None:
    for dag in bag.dags.values():
        assert dag.description
        assert dag.doc_md
        assert dag.catchup is False
        for task in dag.tasks:
            assert task.owner
            assert task.owner != "airflow"
            assert task.execution_timeout is not None
            assert task.doc_md
            if dag.dag_id not in PROJECT_DAGS:
                assert task.retries == 2, task.task_id  # the first one, too: a fault may hit any task
            if isinstance(task, StepOperator):
                assert task.as_of.startswith("{{ ti.xcom_pull(task_ids='resolve_as_of')")


def test_every_run_settles_its_instant_first(bag: DagBag) -> None:
    for dag in bag.dags.values():
        if dag.dag_id in PROJECT_DAGS:
            continue
        assert [task.task_id for task in dag.roots] == ["resolve_as_of"]
        followers = dag.get_task("resolve_as_of").get_flat_relative_ids(upstream=False)
        assert followers == {task.task_id for task in dag.tasks} - {"resolve_as_of"}


@pytest.mark.parametrize(
    ("family", "chain"),
    [
        (
            "data",
            "resolve_as_of await_partition ingest gate_raw publish_raw prepare gate_features publish_features audit",
        ),
        (
            "train",
            "resolve_as_of await_data assemble gate_training train gate_predictions publish_predictions evaluate "
            "decide register start_deployment",
        ),
        (
            "deploy",
            "resolve_as_of deploy verify shadow await_shadow canary_10 await_canary_10 canary_50 await_canary_50 "
            "promote withdraw",
        ),
        ("rollback", "resolve_as_of rollback"),
        ("score", "resolve_as_of choose score"),
        ("monitor", "resolve_as_of monitor start_training"),
        ("retire", "resolve_as_of drain await_quiet retire archive free"),
        ("restore", "resolve_as_of restore prepare gate_features publish_features"),
    ],
)
def test_the_tasks_of_a_family_follow_each_other(bag: DagBag, family: str, chain: str) -> None:
    dag = bag.dags[f"flight_delay.{family}"]
    names = chain.split()
    assert {task.task_id for task in dag.tasks} == set(names)
    for before, after in itertools.pairwise(names):
        assert before in dag.get_task(after).upstream_task_ids
    assert [task.task_id for task in dag.leaves] == [names[-1]], "the last task alone decides the run's state"


def test_forms_ask_for_partitions_only_where_the_data_has_time(bag: DagBag) -> None:
    for family in ("data", "score"):
        assert {"first", "last"} <= set(bag.dags[f"bike_demand.{family}"].params)
        assert not {"first", "last"} & set(bag.dags[f"tumor_malignant.{family}"].params)
    assert "all at once" in str(bag.dags["tumor_malignant.data"].description)
    asked = bag.dags["tumor_malignant.data"].params.get_param("as_of").schema
    assert "the moment at which the run was asked for" in str(asked)


def test_data_and_training_steps_take_slots_of_their_pools(bag: DagBag) -> None:
    data, train = bag.dags["flight_delay.data"], bag.dags["flight_delay.train"]
    assert {data.get_task(name).pool for name in ("ingest", "gate_raw", "prepare")} == {"noria_data"}
    assert {train.get_task(name).pool for name in ("assemble", "train", "evaluate")} == {"noria_training"}


def test_the_audit_runs_when_steps_before_it_were_skipped_but_not_when_all_were(bag: DagBag) -> None:
    audit = bag.dags["flight_delay.data"].get_task("audit")
    assert audit.trigger_rule == "none_failed_min_one_success"
    assert audit.upstream_task_ids == {"gate_raw", "gate_features", "publish_features"}


def test_alerts_are_delivered_every_two_minutes_one_run_at_a_time(bag: DagBag) -> None:
    dag = bag.dags[ALERTS]
    assert (dag.timetable.expression, dag.max_active_runs, dag.catchup) == ("*/2 * * * *", 1, False)


def test_what_no_audit_needs_is_freed_daily(bag: DagBag) -> None:
    dag = bag.dags[RETIREMENTS]
    assert (dag.timetable.expression, dag.max_active_runs, dag.catchup) == ("30 3 * * *", 1, False)


def test_every_task_tells_its_failure_once_and_steps_with_news_tell_their_success(bag: DagBag) -> None:
    for dag in bag.dags.values():
        for task in dag.tasks if dag.dag_id not in PROJECT_DAGS else ():
            (callback,) = task.on_failure_callback
            withdrawn = dag.dag_id.endswith(".deploy") and task.task_id not in {"resolve_as_of", "deploy", "withdraw"}
            assert type(callback) is (NewsNotifier if withdrawn else FailureNotifier)
            assert callback.model == dag.dag_id.split(".")[0]
            news = isinstance(task, StepOperator) and task.step in {"monitor", "decide", "promote", "rollback"}
            assert len(task.on_success_callback) == news


def test_a_data_run_has_the_deadline_that_the_definition_gives(bag: DagBag) -> None:
    (deadline,) = bag.dags["flight_delay.data"].deadline
    assert deadline.interval == timedelta(hours=1)
    assert deadline.callback.path == "plugins.notifiers.deadline.MissedPartitionNotifier"
    assert not bag.dags["flight_delay.train"].deadline


def test_schedules_run_in_the_sources_time_zone_and_never_look_back(bag: DagBag) -> None:
    for family in ("data", "train", "monitor"):
        dag = bag.dags[f"flight_delay.{family}"]
        assert str(dag.timetable.timezone) == "America/New_York"
        assert dag.start_date is None
    assert bag.dags["flight_delay.deploy"].schedule is None


def test_trainings_and_deployments_of_a_model_do_not_overlap_and_a_rollback_waits_for_neither(bag: DagBag) -> None:
    assert bag.dags["flight_delay.train"].max_active_runs == 1
    assert bag.dags["flight_delay.deploy"].max_active_runs == 1
    assert "flight_delay.rollback" in bag.dags


def test_a_rollback_takes_the_next_free_slot_before_the_tasks_of_every_other_run(bag: DagBag) -> None:
    ranks = {dag_id: _most_urgent_and_least(dag) for dag_id, dag in bag.dags.items()}
    least_of_rollbacks = min(least for dag_id, (_, least) in ranks.items() if dag_id.endswith(".rollback"))
    assert least_of_rollbacks > max(most for dag_id, (most, _) in ranks.items() if not dag_id.endswith(".rollback"))


def test_a_run_that_has_begun_goes_before_one_that_is_to_begin(bag: DagBag) -> None:
    for dag_id in ("flight_delay.data", "flight_delay.train", "flight_delay.score", "flight_delay.monitor"):
        for task in bag.dags[dag_id].tasks:
            assert str(task.weight_rule) == "upstream", f"{dag_id} {task.task_id}"


def _most_urgent_and_least(dag: DAG) -> tuple[int, int]:
    """The largest and the smallest weight of a DAG's tasks, as Airflow's scheduler adds them up."""
    weights = [
        task.priority_weight
        if str(task.weight_rule) == "absolute"
        else task.priority_weight + len(task.get_flat_relative_ids(upstream=str(task.weight_rule) == "upstream"))
        for task in dag.tasks
    ]
    return max(weights), min(weights)


@pytest.mark.parametrize(
    ("family", "param", "good", "bad"),
    [
        ("data", "first", "2013-10-01", "2013-10"),
        ("data", "last", None, "01.10.2013"),
        ("data", "force", True, "yes"),
        ("data", "wait_minutes", 30, -1),
        ("train", "as_of", "2013-10-01T00:00:00-04:00", "2013-10-01T00:00:00"),
        ("train", "as_of", "2013-10-01T04:00Z", "yesterday"),
        ("deploy", "version", 3, "three"),
        ("deploy", "version", 1, 0),
        ("deploy", "stages", "straight to champion", "none"),
        ("rollback", "reason", "wrong answers", ""),
        ("retire", "reason", "replaced", None),
        ("retire", "drain_minutes", 0, -1),
        ("restore", "reason", "needed", ""),
    ],
)
def test_the_form_takes_good_values_and_refuses_bad_ones(
    bag: DagBag, family: str, param: str, good: object, bad: object
) -> None:
    field = copy.copy(bag.dags[f"flight_delay.{family}"].params.get_param(param))
    assert field.resolve(good) == good
    with pytest.raises(ParamValidationError):
        field.resolve(bad)


def test_a_deployment_needs_a_version_and_a_rollback_a_reason(bag: DagBag) -> None:
    for family, param in (("deploy", "version"), ("rollback", "reason"), ("retire", "reason"), ("restore", "reason")):
        with pytest.raises(ParamValidationError):
            copy.copy(bag.dags[f"flight_delay.{family}"].params.get_param(param)).resolve()


def test_a_broken_definition_is_one_import_error_and_harms_no_other_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(PROJECT / "include" / "models", tmp_path / "models")
    shutil.copytree(PROJECT / "dags", tmp_path / "dags")
    broken = tmp_path / "models" / "flight_delay.yaml"
    broken.write_text(broken.read_text().replace("time_zone:", "time_zoen:"))
    monkeypatch.setenv("NORIA_MODELS", str(tmp_path / "models"))
    bag = DagBag(dag_folder=str(tmp_path / "dags"))
    others = [model for model in MODELS if model != "flight_delay"]
    assert sorted(bag.dags) == sorted(
        [*PROJECT_DAGS, *(f"{model}.{family}" for model in others for family in FAMILIES)]
    )
    assert [Path(file).name for file in bag.import_errors] == ["flight_delay.py"]
    (message,) = bag.import_errors.values()
    assert "time_zoen" in message
    assert "time_zone" in message, "the cure"


def in_fresh_python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip().splitlines()[-1]


HEAVY = (
    "import sys; import dags.flight_delay as m; import dags.noria_alerts; import dags.noria_retirements; "
    "import plugins.noria_plugin, "
    "plugins.operators.local, plugins.sensors.partitions, plugins.sensors.stages, "
    "plugins.operators.approval, plugins.settings_loader\n"
    "heavy = ['pandas', 'numpy', 'duckdb', 'xgboost', 'mlflow', 'great_expectations', 'kubernetes', 'sklearn', "
    "'deltalake', 'pyarrow']\nprint([name for name in heavy if name in sys.modules])"
)


def test_what_airflow_parses_imports_nothing_heavy() -> None:
    assert in_fresh_python(HEAVY) == "[]"


def test_a_forks_own_parse_imports_only_what_is_read_anew() -> None:
    code = (
        "import sys, airflow.sdk, plugins.noria_plugin; before = set(sys.modules); import dags.flight_outcome\n"
        "print(sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    assert in_fresh_python(code) in ("['dags']", "['dags', 'encodings']")


def test_only_the_dag_of_the_task_that_is_to_run_is_built() -> None:
    code = (
        "import sys; import dags.flight_delay as m; from airflow.sdk import DAG\n"
        "print([d.dag_id for d in vars(m).values() if isinstance(d, DAG)], 'sqlglot' in sys.modules)"
    )
    context = {"_AIRFLOW_PARSING_CONTEXT_DAG_ID": "flight_delay.deploy", "_AIRFLOW_PARSING_CONTEXT_TASK_ID": "verify"}
    assert in_fresh_python(code, **context) == "['flight_delay.deploy'] False"
