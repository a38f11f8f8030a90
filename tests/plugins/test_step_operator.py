"""StepOperator: exit codes become task states, the mode is chosen by configuration, names of tries are unique."""

from __future__ import annotations

import json

import pytest
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from include.steps.catalog import SUMMARIES
from plugins.operators.docs import step_doc
from plugins.operators.environment import database_url, http_url
from plugins.operators.step import StepOperator, StepOutcome, attempt_name, result_of


def test_a_step_that_ended_well_gives_its_output() -> None:
    assert result_of("ingest", StepOutcome(0, {"rows": 3}, "")) == {"rows": 3}


@pytest.mark.parametrize(
    ("code", "exception"),
    [
        (10, AirflowFailException),
        (20, AirflowSkipException),
        (30, AirflowException),
        (1, AirflowException),
        (-9, AirflowException),
        (137, AirflowException),
    ],
)
def test_exit_codes_become_task_states_with_the_steps_own_words(code: int, exception: type[Exception]) -> None:
    with pytest.raises(exception, match="column x is missing") as caught:
        result_of("ingest", StepOutcome(code, None, "column x is missing"))
    assert type(caught.value) is exception, "a retryable failure is not a final one"


def test_an_unknown_mode_is_refused_with_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORIA_STEP_MODE", "docker")
    with pytest.raises(AirflowFailException, match=r"'docker'.*local"):
        StepOperator(task_id="t", model="flight_delay", step="train", as_of="x").execute({})


def test_no_two_tries_share_a_name_and_a_name_fits_a_folder() -> None:
    names = {attempt_name("group.gate raw", 1) for _ in range(100)}
    assert len(names) == 100
    assert all(name.startswith("group-gate-raw-try1-") for name in names)


def test_every_step_has_a_doc_with_its_exit_codes() -> None:
    for name in SUMMARIES:
        text = step_doc(name)
        assert SUMMARIES[name] in text
        assert "no retry" in text


def test_an_unknown_step_is_an_error_when_the_dag_is_built() -> None:
    with pytest.raises(ValueError, match="trian"):
        StepOperator(task_id="t", model="m", step="trian", as_of="x")


def test_database_url_from_host_port_and_password() -> None:
    connection = Connection(
        conn_id="c", conn_type="postgres", host="db", port=5433, login="no ria", password="p@ss/word", schema="lake"
    )
    assert database_url(connection) == "postgresql+psycopg2://no%20ria:p%40ss%2Fword@db:5433/lake"


def test_database_url_from_a_unix_socket() -> None:
    connection = Connection(
        conn_id="c",
        conn_type="postgres",
        login="postgres",
        schema="noria",
        extra=json.dumps({"host": "/run/pg socket"}),
    )
    assert database_url(connection) == "postgresql+psycopg2://postgres@/noria?host=/run/pg%20socket"


def test_http_urls() -> None:
    assert http_url(Connection(conn_id="c", conn_type="http", host="127.0.0.1", port=5000)) == "http://127.0.0.1:5000"
    assert http_url(Connection(conn_id="c", conn_type="http", host="mlflow.example", schema="https")) == (
        "https://mlflow.example"
    )
