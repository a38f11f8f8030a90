"""Erasing a key of a model that has lived: nothing of it is left, and nothing else is changed."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg2
import pytest

from include.privacy.erasing import NothingHeld, erase
from include.privacy.holding import holdings
from include.registry.erasures import irreproducible_versions, list_erasures
from include.stack.postgres import Postgres
from tests.privacy.life import HELD_ON, MODEL, Life, places_of

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
