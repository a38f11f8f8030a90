"""A pass over the log takes some megabytes, and more of many models: each table gets enough to be worth a commit."""

from __future__ import annotations

import pytest

from include.serving.request_log import reader
from include.serving.request_log.compaction import Compactor
from include.serving.request_log.reader import Reader
from include.serving.request_log.segments import log_folder
from include.settings import Settings
from tests.serving.log_world import answer, logged, open_log, shape, without_suites

RECORDS = 40


@pytest.fixture
def here(settings: Settings) -> Settings:
    return without_suites(settings)


def log_answers(settings: Settings, models: int) -> None:
    """So many records of each of the models, one model after the other."""
    log = open_log(settings)
    for number in range(RECORDS * models):
        answer(log, f"{number:04}", of=shape(model=f"m{number % models}"))
    log.close()


def taken(settings: Settings) -> list[int]:
    """Records in each pass."""
    follower, found, more = Reader(log_folder(settings.home)), [], True
    while more:
        portion = follower.read()
        follower.finished(portion, ())
        found.append(sum(map(len, portion.records.values())))
        more = portion.more
    return [count for count in found if count]


def test_a_pass_of_one_model_takes_so_many_bytes(here: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_AT_LEAST", 1)
    monkeypatch.setattr(reader, "_OF_A_MODEL", 2000)
    log_answers(here, models=1)
    counts = taken(here)
    assert sum(counts) == RECORDS
    assert max(counts) < 12


def test_a_pass_of_several_models_takes_as_much_of_each(here: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_AT_LEAST", 1)
    monkeypatch.setattr(reader, "_OF_A_MODEL", 2000)
    log_answers(here, models=4)
    counts = taken(here)
    assert sum(counts) == 4 * RECORDS
    assert 15 < counts[0] < 48


def test_a_pass_never_takes_more_than_fits(here: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_AT_MOST", 2000)
    log_answers(here, models=4)
    assert max(taken(here)) < 12


def test_passes_bring_all_records_of_all_models_once(here: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_AT_LEAST", 1)
    monkeypatch.setattr(reader, "_OF_A_MODEL", 1000)
    log_answers(here, models=3)
    assert Compactor(here).run()
    for number in range(3):
        wanted = [f"{place:04}" for place in range(number, 3 * RECORDS, 3)]
        assert logged(here, "request_id", model=f"m{number}") == wanted
