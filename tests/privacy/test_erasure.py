"""Erasing a key of a model that has lived: nothing of it is left, and nothing else is changed."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from include.lake.erased import ErasedKeysUnknown, block, erasure_digest
from include.lake.publishing import StagedFileChanged
from include.lake.table import LakeTable, RowsErased
from include.privacy.__main__ import main
from include.privacy.erasing import NothingHeld, erase
from include.privacy.holding import holdings
from include.privacy.key import EntityKey, KeyUnreadable
from include.registry import erasures
from include.registry.erasures import irreproducible_versions, list_erasures
from include.stack.postgres import Postgres
from tests.privacy.life import HELD_ON, MODEL, Life, definition_with, places_of

pytestmark = pytest.mark.database


def held(life: Life) -> dict[str, int]:
    return {place.place: place.rows for place in holdings(life.settings, life.key).held}


def everywhere(life: Life, postgres: Postgres, folder: Path) -> list[str]:
    """Files with the marker in store, home, MLflow's folders and database, and PostgreSQL's own files."""
    connection = psycopg2.connect(life.settings.database_url.replace("postgresql+psycopg2", "postgresql"))
    connection.autocommit = True
    connection.cursor().execute("CHECKPOINT")
    connection.cursor().execute("VACUUM FULL")
    connection.cursor().execute("CHECKPOINT")
    connection.close()
    return places_of(life.marker, folder, postgres.data, besides=("landing", "base_backup"))


def test_after_an_erasure_no_byte_of_the_key_is_left(life: Life, postgres: Postgres, tmp_path: Path) -> None:
    before = {table: life.digests(table) for table in ("raw", "features", "scores")}
    found = held(life)
    assert {"raw", "features", "scores", "inference", "feedback", "quarantine", "training sets", "pages"} <= set(found)
    assert (found["raw"], found["features"], found["scores"], found["inference"], found["feedback"]) == (2, 2, 2, 2, 2)
    assert found["quarantine"] == 1
    places = everywhere(life, postgres, tmp_path)
    for part in ("lake/late/raw", "lake/late/features", "lake/late/scores", "training/late", "quarantine", "reports"):
        assert any(part in place for place in places), (part, places)
    done = erase(life.settings, life.key, actor="ana", reason="asked on the phone")
    assert everywhere(life, postgres, tmp_path) == []
    assert held(life) == {}
    for table, digests in before.items():
        changed = {key for key, digest in life.digests(table).items() if digest != digests[key]}
        assert changed == set(HELD_ON), table
        assert set(digests) == set(life.digests(table))
    [record] = list_erasures(life.settings, MODEL)
    assert (record.actor, record.reason, record.key_columns) == ("ana", "asked on the phone", ["customer"])
    assert record.finished_at is not None
    assert life.marker not in json.dumps(record.document)
    assert record.document["places"]["raw"]["digests"].keys() == set(HELD_ON)
    assert done.notes == []
    assert list(irreproducible_versions(life.settings, MODEL)) == [1]
    with pytest.raises(NothingHeld):
        erase(life.settings, life.key, actor="ana", reason="again")
    assert len(list_erasures(life.settings, MODEL)) == 1
    life.data(HELD_ON[0], HELD_ON[1], force=True)  # the source holds it still
    assert held(life) == {}
    assert everywhere(life, postgres, tmp_path) == []
    assert life.train() == 2
    assert list(irreproducible_versions(life.settings, MODEL)) == [1]
    with pytest.raises(RowsErased, match="privacy erasures late"):
        LakeTable(life.settings, MODEL, "raw").dataset(1)


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("at", [1, 4, 8, 10])
def test_an_erasure_that_is_killed_goes_on(small: Life, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[int] = []

    def killed(*given: Any, **options: Any) -> Any:
        notes.append(1)
        if len(notes) == at:
            raise Killed
        return note(*given, **options)

    note = erasures.note
    monkeypatch.setattr(erasures, "note", killed)
    with pytest.raises(Killed):
        erase(small.settings, small.key, actor="ana", reason="first try")
    [begun] = erasures.list_erasures(small.settings, MODEL)
    assert begun.finished_at is None
    erase(small.settings, small.key, actor="ben", reason="second try")
    [ended] = erasures.list_erasures(small.settings, MODEL)
    assert (ended.id, ended.reason, ended.finished_at is not None) == (begun.id, "first try", True)
    assert held(small) == {}
    assert places_of(small.marker, small.settings.store, small.settings.home, besides=("landing",)) == []


def test_what_was_staged_before_the_erasure_is_not_published_after_it(small: Life) -> None:
    staged = small.step("ingest", first=HELD_ON[0], last=HELD_ON[0], force=True)
    gated = small.step("gate", stage="raw", staged=staged)
    block(small.settings, MODEL, small.key.columns, erasure_digest(small.settings, small.key.values))
    table = LakeTable(small.settings, MODEL, "raw")
    erase(small.settings, small.key, actor="ana", reason="asked")
    with pytest.raises(StagedFileChanged):
        small.step("publish", gate=gated)
    assert small.digests("raw") == {key: record.digest for key, record in table.partitions().items()}


def test_a_process_with_another_secret_reads_nothing(small: Life, tmp_path: Path) -> None:
    erase(small.settings, small.key, actor="ana", reason="asked")
    other = tmp_path / "other.key"
    other.write_bytes(b"x" * 32)
    stranger = replace(small, settings=replace(small.settings, hashing_key=other))
    with pytest.raises(ErasedKeysUnknown, match="NORIA_HASHING_KEY"):
        stranger.raw(HELD_ON[0], HELD_ON[0], force=True)


def test_an_unknown_key_changes_nothing(small: Life) -> None:
    before = small.digests("raw")
    key = EntityKey.read(small.definition, json.dumps({"customer": "nobody-at-all"}))
    with pytest.raises(NothingHeld):
        erase(small.settings, key, actor="ana", reason="asked")
    assert (small.digests("raw"), erasures.list_erasures(small.settings, MODEL)) == (before, [])


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"nobody": "secret-value"}', '{"customer": 17}', '{"left_at": "secret-value"}']
)
def test_a_key_that_is_none_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(KeyUnreadable) as refused:
        EntityKey.read(definition_with(), text)
    assert "secret-value" not in str(refused.value)
    assert "17" not in str(refused.value)


def test_a_key_shows_itself_nowhere() -> None:
    key = EntityKey.read(definition_with(), '{"customer": "secret-value"}')
    assert "secret-value" not in f"{key!r} {key}"


def test_the_command_lists_and_erases_and_says_no_key(
    small: Life, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("include.settings.Settings.from_environment", lambda: small.settings)

    def ran(*words: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({"customer": small.marker})))
        code = main([words[0], MODEL, *words[1:]])
        said = capsys.readouterr()
        assert small.marker not in said.out + said.err
        return code, said.out + said.err

    code, listing = ran("holds")
    assert code == 0
    assert "2013-01-03 (1), 2013-01-14 (1)" in listing
    assert ran("erase", "--reason", f"for {small.marker}", "--yes")[0] == 10
    assert ran("erase", "--reason", "asked", "--yes")[0] == 0
    assert "nothing is held" in ran("holds")[1]
    assert ran("erase", "--reason", "asked", "--yes")[0] == 20
    assert "1 erasure(s)" in ran("erasures")[1]
