"""Several servers with homes of their own share store and database: the log is whole, and nothing is written twice."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from include.lake.paths import table_folder
from include.lake.table import LakeTable
from include.registry.results import find_checks
from include.serving.request_log import commits
from include.serving.request_log.commits import written_alone
from include.serving.request_log.compaction import Compactor
from include.serving.request_log.feedback import feedback_counts
from include.serving.request_log.gate import record_refusals
from include.serving.request_log.writer import Label
from include.serving.routing import entity_key
from include.settings import PROJECT, Settings
from tests.serving.engine import enter, held, order, save_model
from tests.serving.homes import home_of
from tests.serving.live import Logged, as_process, deploy, until
from tests.serving.log_world import ROW, answer, logged, open_log, segment_files, shape, write_suite

PREDICTION = {
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "prediction", "min_value": 0, "max_value": 1},
}


@pytest.fixture
def homes(tmp_path: Path) -> list[Settings]:
    """Two homes, one store, one key."""
    (tmp_path / "hashing.key").write_bytes(b"k" * 32)
    return [home_of(tmp_path, name) for name in ("home-0", "home-1")]


def test_servers_that_compact_at_the_same_time_commit_every_record_once(tmp_path: Path) -> None:
    (tmp_path / "hashing.key").write_bytes(b"k" * 32)
    command = [sys.executable, "-m", "tests.serving.homes", str(tmp_path), "4", "60"]
    subprocess.run(command, check=True, cwd=PROJECT, timeout=300)
    settings = [home_of(tmp_path, f"home-{number}") for number in range(4)]
    assert LakeTable(settings[0], "m", "inference").version() > 12, "they took turns"
    for each in settings:
        compactor = Compactor(each)
        assert compactor.run()
        assert compactor.done.problems == {}
        assert segment_files(each) == []
    found = Counter(logged(settings[0], "request_id"))
    assert found == Counter(f"home-{home}-{number}" for home in range(4) for number in range(60))
    labels = logged(settings[0], "segment, position, item", table="feedback")
    assert len({tuple(row.values()) for row in labels}) == len(labels) == 4 * 20


def test_a_server_does_not_mend_a_table_while_another_one_writes(homes: list[Settings]) -> None:
    answer(open_log(homes[0]), "a")
    Compactor(homes[0]).run()
    answer(open_log(homes[1]), "b")
    with ThreadPoolExecutor(1) as pool:
        with written_alone(table_folder(homes[0], "m", "inference")):
            compacting = pool.submit(Compactor(homes[1]).run)
            with pytest.raises(TimeoutError):
                compacting.result(timeout=0.5)
            assert logged(homes[0], "request_id") == ["a"]
        assert compacting.result(timeout=30)
    assert logged(homes[0], "request_id") == ["a", "b"]


def test_records_wait_in_their_segments_while_another_server_writes_for_too_long(
    homes: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "_LOCK_SECONDS", 0.1)
    answer(open_log(homes[1]), "b")
    compactor = Compactor(homes[1])
    with written_alone(table_folder(homes[0], "m", "inference")):
        compactor.run()
    assert "another server has been writing" in compactor.done.problems["m"]
    assert len(segment_files(homes[1])) == 1
    assert Compactor(homes[1]).run()
    assert logged(homes[0], "request_id") == ["b"]


def test_a_label_that_comes_to_one_server_finds_the_row_that_another_has_answered(homes: list[Settings]) -> None:
    strange = replace(homes[1], hashing_key=None)
    key = entity_key({"carrier": "string"}, ROW)
    answer(open_log(homes[0]), "a", of=shape(entity={"carrier": "string"}))
    for settings, label in ((strange, 0.0), (homes[1], 1.0)):
        log = open_log(settings)
        log.feedback(model="m", request_id="g", received_us=1, labels=[Label(label=label, entity=key)])
        log.close()
    Compactor(homes[0]).run()
    Compactor(homes[1]).run()
    answered, *labels = logged(homes[0], "entity"), *logged(homes[0], "entity", table="feedback")
    assert [label == answered[0] for label in labels] == [False, True], "only with the shared key"
    counts = feedback_counts(homes[0], "m")
    assert (counts.applied, counts.unknown) == (1, 1)


@pytest.mark.database
def test_a_refusal_is_recorded_once_however_many_servers_see_it(homes: list[Settings], database_url: str) -> None:
    settings = [replace(home, database_url=database_url) for home in homes]
    write_suite(settings[0], "inference", [PREDICTION])
    for number in range(8):
        answer(open_log(settings[0]), f"bad-{number}", predictions=[17.0])
        Compactor(settings[0]).run()
    together = threading.Barrier(4, timeout=30)

    def record(each: Settings) -> int:
        together.wait()
        return record_refusals(each)

    with ThreadPoolExecutor(4) as pool:
        recorded = list(pool.map(record, settings * 2))
    checks = find_checks(settings[0], "m")
    assert sum(recorded) == len(checks) == len({check.details["quarantine"] for check in checks}) == 8


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Logged:
    return save_model(tmp_path_factory.mktemp("saved"), 1)


@pytest.mark.database
def test_a_server_that_is_told_to_end_leaves_nothing_of_its_log_behind(
    stored_settings: Settings, saved: Logged, tmp_path: Path
) -> None:
    enter(stored_settings, saved)
    deploy(stored_settings, 1)
    answered: list[str] = []

    def ask(number: int) -> bool:
        name = f"r-{number}"
        body = {"rows": [order(number)]}
        try:
            answer = httpx.post(
                f"{live.server_url}/models/m/predict", json=body, headers={"X-Request-Id": name}, trust_env=False
            )
        except httpx.TransportError:
            return False
        answered.append(name)
        return answer.status_code == 200

    with as_process(stored_settings, tmp_path / "server.log") as (live, process):
        with httpx.Client(base_url=live.server_url, trust_env=False) as client:
            until(lambda: _is_up(client), 60)
        until(lambda: (stored_settings.home / "serving" / "background.json").exists(), 60)
        assert ask(0)
        process.send_signal(signal.SIGTERM)
        number = 0
        while ask(number := number + 1):
            pass
        process.wait(timeout=60)
    assert len(answered) > 1, "it answers for a while after it is told to end"
    assert segment_files(stored_settings) == []
    assert Counter(logged(stored_settings, "request_id")) == Counter(answered)


def _is_up(client: httpx.Client) -> bool:
    try:
        return held(client).get("champion") == (1, "serving")
    except httpx.TransportError:
        return False
