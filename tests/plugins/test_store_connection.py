"""A store in a bucket, as Airflow sees it: credentials from the connection, arrivals looked for by a child process."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow._shared.module_loading import import_string
from airflow.sdk.exceptions import AirflowException

from include.settings import Settings
from include.spec.loader import find_definition
from plugins.operators.environment import connection_variables
from plugins.sensors.partitions import _absent, source_address
from plugins.sensors.triggers import CheckFailed, SourceTrigger, absent_partitions
from tests.object_storage import KEY, SECRET, ObjectStorage

ONE, TWO = "2013-10-05", "2013-10-06"


@pytest.fixture
def connected(settings: Settings, s3: ObjectStorage, s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The store's address is in the environment; how to enter it is known to Airflow alone."""
    extra = {"endpoint_url": s3.endpoint, "region_name": "us-east-1", "allow_http": True}
    connection = {"conn_type": "aws", "login": KEY, "password": SECRET, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_NORIA_STORE", json.dumps(connection))
    monkeypatch.setenv("NORIA_HOME", str(settings.home))
    monkeypatch.setenv("NORIA_STORE", f"s3://{s3_bucket}/noria")
    return Settings.from_environment({"NORIA_STORE": f"s3://{s3_bucket}/noria", **connection_variables()})


def put(s3: ObjectStorage, bucket: str, key: str) -> None:
    s3.client().put_object(Bucket=bucket, Key=f"noria/landing/flights/{key}.parquet", Body=b"x")


def test_the_connection_becomes_the_variables_of_a_step(connected: Settings, s3: ObjectStorage) -> None:
    assert connection_variables() == connection_variables() | {
        "NORIA_STORE_KEY": KEY, "NORIA_STORE_SECRET": SECRET, "NORIA_STORE_ENDPOINT": s3.endpoint,
        "NORIA_STORE_REGION": "us-east-1", "NORIA_STORE_ALLOW_HTTP": "true",
    }  # fmt: skip
    assert connected.bucket is not None
    assert (connected.bucket.key, connected.bucket.endpoint) == (KEY, s3.endpoint)


def test_an_empty_connection_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORIA_STORE", "s3://bucket/noria")
    monkeypatch.setenv("AIRFLOW_CONN_NORIA_STORE", json.dumps({"conn_type": "aws"}))
    assert not [name for name in connection_variables() if name.startswith("NORIA_STORE")]


def test_a_store_that_is_a_folder_asks_for_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_NORIA_STORE", json.dumps({"conn_type": "aws", "login": KEY, "password": SECRET}))
    for store in ("/var/lib/noria/store", ""):
        monkeypatch.setenv("NORIA_STORE", store)
        assert not [name for name in connection_variables() if name.startswith("NORIA_STORE")]


def test_source_files_are_looked_for_in_the_bucket(connected: Settings, s3: ObjectStorage, s3_bucket: str) -> None:
    put(s3, s3_bucket, ONE)
    definition = find_definition(connected, "flight_delay")
    assert _absent(connected, definition, [ONE, TWO]) == [TWO]
    assert _absent(connected, definition, []) == []
    assert source_address(connected, definition, TWO) == f"s3://{s3_bucket}/noria/landing/flights/{TWO}.parquet"


def test_the_trigger_fires_when_the_object_comes(connected: Settings, s3: ObjectStorage, s3_bucket: str) -> None:
    until = (datetime.now(UTC) + timedelta(seconds=60)).isoformat()

    async def first_event(trigger: SourceTrigger) -> Any:
        async for event in trigger.run():
            return event.payload
        return None

    async def scene() -> Any:
        waiting = asyncio.create_task(first_event(SourceTrigger("flight_delay", ONE, until, poll_seconds=0.1)))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        put(s3, s3_bucket, ONE)
        return await asyncio.wait_for(waiting, 60)

    assert asyncio.run(scene()) == {"arrived": True}
    trigger = SourceTrigger("flight_delay", ONE, until, 2.0)
    path, arguments = trigger.serialize()
    assert import_string(path)(**arguments).serialize() == (path, arguments)


def test_a_look_that_fails_says_why_and_is_no_absence(connected: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORIA_STORE", "s3://nowhere-at-all/noria")
    with pytest.raises(CheckFailed, match="there is no bucket nowhere-at-all") as caught:
        absent_partitions("flight_delay", [ONE])
    assert SECRET not in str(caught.value)
    with pytest.raises(AirflowException, match="there is no bucket"):
        _absent(connected, find_definition(connected, "flight_delay"), [ONE])
